"""Contributor masks against a literal transcription of Eq. 4-8."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dga
from dga import masks
from dga.masks import _combined_mask, _largest_count, _order_statistic


def weak_by_counting(phi, share):
    d = len(phi)
    return [not sum(abs(a) <= abs(b) for a in phi) / d <= share for b in phi]


def extreme_by_counting(phi, quantile):
    d = len(phi)
    return [sum(a <= b for a in phi) / d <= quantile for b in phi]


# Few distinct values: ties everywhere, signs and zeros of both kinds included.
_TIED = st.integers(1, 40).flatmap(
    lambda d: arrays(np.float64, d, elements=st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0]))
)
_FREE = st.integers(1, 40).flatmap(
    lambda d: arrays(np.float64, d, elements=st.floats(-1e6, 1e6, width=32))
)
_SHARES = st.one_of(
    st.floats(0, 1), st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda p: min(p) / p[1])
)


@settings(max_examples=1500, deadline=None)
@given(phi=st.one_of(_TIED, _FREE), share=_SHARES)
def test_against_literal_counting(phi, share):
    for dtype in (torch.float64, torch.float32):
        batch = torch.from_numpy(phi).to(dtype)[None]
        values = batch[0].tolist()
        weak = dga.weak_contributor_mask(batch, share)
        extreme = dga.extreme_positive_contributor_mask(batch, share)
        assert weak.dtype == extreme.dtype == torch.bool
        assert weak[0].tolist() == weak_by_counting(values, share)
        assert extreme[0].tolist() == extreme_by_counting(values, share)


@settings(max_examples=500, deadline=None)
@given(share=st.floats(0, 1), d=st.integers(1, 200_000))
def test_largest_count_is_what_the_division_says(share, d):
    r = _largest_count(share, d)
    assert r / d <= share
    assert r == d or (r + 1) / d > share


def test_every_n_over_every_steps():
    d = 3 * 224 * 224
    for steps in (1, 3, 7, 30, 49, 120):
        for n in range(steps + 1):
            r = _largest_count(n / steps, d)
            assert r / d <= n / steps and (r == d or (r + 1) / d > n / steps)


def test_by_hand():
    phi = torch.tensor([[3.0, -1.0, 0.0, 0.0, 2.0]])
    # |phi| counts: 5/5, 3/5, 2/5, 2/5, 4/5
    assert dga.weak_contributor_mask(phi, 0.4).tolist() == [[True, True, False, False, True]]
    assert dga.weak_contributor_mask(phi, 0.39).tolist() == [[True] * 5]
    assert dga.weak_contributor_mask(phi, 1.0).tolist() == [[False] * 5]
    # signed counts: 5/5, 1/5, 3/5, 3/5, 4/5
    mask = dga.extreme_positive_contributor_mask(phi, 0.8)
    assert mask.tolist() == [[False, True, True, True, True]]
    mask = dga.extreme_positive_contributor_mask(phi, 0.59)
    assert mask.tolist() == [[False, True, False, False, False]]


def test_constant_picture_ties_everywhere():
    phi = torch.full((2, 3, 4, 4), 0.7)
    assert dga.weak_contributor_mask(phi, 0.99).all()
    assert not dga.weak_contributor_mask(phi, 1.0).any()
    assert not dga.extreme_positive_contributor_mask(phi, 0.99).any()
    assert dga.extreme_positive_contributor_mask(phi, 1.0).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_images_are_ranked_each_on_its_own(layout):
    generator = torch.Generator().manual_seed(0)
    phi = torch.randint(-5, 6, (4, 3, 6, 5), generator=generator).float()
    phi = (phi * torch.tensor([1.0, 10, 100, 1000]).view(-1, 1, 1, 1)).contiguous(
        memory_format=layout
    )
    for share in (0, 0.3, 0.77, 1):
        weak = dga.weak_contributor_mask(phi, share)
        extreme = dga.extreme_positive_contributor_mask(phi, share)
        for k in range(4):
            values = phi[k].flatten().tolist()
            assert weak[k].flatten().tolist() == weak_by_counting(values, share)
            assert extreme[k].flatten().tolist() == extreme_by_counting(values, share)


def test_pixel_unit_keeps_channels_together():
    phi = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    sums = phi.sum(1)
    weak = dga.weak_contributor_mask(phi, 0.5, unit="pixel")
    extreme = dga.extreme_positive_contributor_mask(phi, 0.8, unit="pixel")
    assert weak.shape == extreme.shape == phi.shape
    for k in range(2):
        values = sums[k].flatten().tolist()
        for c in range(3):
            assert weak[k, c].flatten().tolist() == weak_by_counting(values, 0.5)
            assert extreme[k, c].flatten().tolist() == extreme_by_counting(values, 0.8)


@pytest.mark.parametrize("mask", [dga.weak_contributor_mask, dga.extreme_positive_contributor_mask])
def test_bad_arguments(mask):
    phi = torch.randn(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        mask(phi, 1.5)
    with pytest.raises(ValueError, match="got nan"):
        mask(phi, float("nan"))
    with pytest.raises(TypeError, match="must be a number"):
        mask(phi, "half")
    with pytest.raises(TypeError, match="floating-point"):
        mask(phi.long(), 0.5)
    with pytest.raises(ValueError, match="not finite"):
        mask(phi / 0, 0.5)
    with pytest.raises(ValueError, match="is needed"):
        mask(phi[0, 0, 0], 0.5)
    with pytest.raises(ValueError, match="unit must be one of"):
        mask(phi, 0.5, unit="channel")


def test_half_precision_does_not_overflow():
    assert dga.weak_contributor_mask(torch.ones(1, 3, 224, 224).half(), 0.5).all()


def test_gpu_selects_the_same(device):
    phi = torch.randint(-9, 9, (3, 3, 16, 16), generator=torch.Generator().manual_seed(2)).float()
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        for mask in (dga.weak_contributor_mask, dga.extreme_positive_contributor_mask):
            assert torch.equal(mask(phi.to(device), share).cpu(), mask(phi, share))


@settings(max_examples=500, deadline=None)
@given(phi=st.one_of(_TIED, _FREE), data=st.data())
def test_selection_on_other_devices_gives_the_same_value(phi, data):
    """What a GPU runs (`kthvalue`), against numpy's partition."""
    rank = data.draw(st.integers(0, len(phi) - 1))
    for dtype in (torch.float32, torch.float64):
        rows = torch.from_numpy(phi).to(dtype).repeat(2, 1)
        rows[1] = -rows[1]
        expected = rows.kthvalue(rank + 1, dim=1).values
        assert torch.equal(_order_statistic(rows, rank), expected)


@pytest.mark.parametrize("width", [8_192, 8_193, 40_000, 150_528])
@pytest.mark.parametrize("kind", ["drawn", "tied", "ascending", "sampled alike", "infinite"])
def test_selection_from_a_sample_is_exact(width, kind):
    """Whatever the sample says: also where it takes none but the largest values."""
    values = np.random.default_rng(0).standard_normal(width)
    if kind == "tied":
        values = values.round()
    elif kind == "ascending":
        values = np.sort(values)
    elif kind == "sampled alike":
        values[masks._drawn(width)] += 100
    elif kind == "infinite":
        values[values > 1] = np.inf
    for dtype in (torch.float32, torch.float64):
        rows = torch.from_numpy(values).to(dtype).repeat(2, 1)
        rows[1] = -rows[1]
        expected, before = rows.sort(1).values, rows.clone()
        for rank in (0, 1, width // 100, width // 2, width - width // 9, width - 2, width - 1):
            assert torch.equal(_order_statistic(rows, rank), expected[:, rank])
        assert torch.equal(rows, before)


def test_no_full_sort_and_no_bools_converted(monkeypatch):
    """A step selects twice and never sorts; blending agrees with the two masks."""
    for name in ("sort", "argsort", "msort"):
        monkeypatch.setattr(
            torch.Tensor, name, lambda *a, **k: pytest.fail("sorted"), raising=False
        )
    for name in ("sort", "argsort"):
        monkeypatch.setattr(np, name, lambda *a, **k: pytest.fail("sorted"))
    phi = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for n in range(9):
        weak = dga.weak_contributor_mask(phi, n / 8).float()
        extreme = dga.extreme_positive_contributor_mask(phi, 0.9).float()
        mask = _combined_mask(phi, n / 8, 0.9, "both", "feature")
        torch.testing.assert_close(mask, n / 8 * weak + (1 - n / 8) * extreme)
