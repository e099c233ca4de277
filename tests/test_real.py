"""The main job on real photographs with a real network (optional folder, see conftest)."""

from __future__ import annotations

import pytest
import torch

import dga
from dga import metrics
from dga.experiments.evaluation import perturbation_scores


@pytest.fixture(scope="module")
def results():
    import measure

    from dga.zoo.files import real_folder

    if real_folder() is None:
        pytest.skip("no folder of real photographs: name one in the environment variable DGA_REAL")
    model, inputs = measure.real_photographs(20)
    return perturbation_scores(model, inputs, ("gi", "ig", "gig", "dga"), batch=10)


def test_dga_leads_on_lerf_and_is_level_on_morf(results):
    for other in ("gi", "ig", "gig"):
        _, low, _ = metrics.bootstrap_interval(results["dga"]["lerf"] - results[other]["lerf"])
        assert low > 0.08, f"LeRF against {other}"
        _, low, _ = metrics.bootstrap_interval(results["dga"]["morf"] - results[other]["morf"])
        assert low <= 0.005, f"MoRF against {other}"


def test_residual_equals_explicit_on_the_real_network(real):
    import measure

    model, x = measure.real_photographs(2)
    model, x = model.double(), x.double()
    residual = dga.uniform_fullgrad(model, x)
    explicit = dga.uniform_fullgrad(model, x, bias="explicit")
    torch.testing.assert_close(residual, explicit, rtol=1e-9, atol=1e-12)


def test_same_call_same_bits_on_the_real_network(real):
    import measure

    model, x = measure.real_photographs(2)
    first = dga.distilled_gradient_aggregation(model, x, steps=5)
    assert torch.equal(first, dga.distilled_gradient_aggregation(model, x, steps=5))
