"""Shared fixtures. The optional folder of real photographs: environment variable DGA_REAL."""

from __future__ import annotations

import os

import pytest
import torch

from dga.zoo.files import real_folder

os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_addoption(parser):
    parser.addoption(
        "--slow", action="store_true", help="move every control of every widget in the browser"
    )


# Files of the most seconds, and all lessons: they come first, for a worker that is left with one of
# them at the end works alone.
LONG = (
    "test_assignments.py", "test_browser.py", "test_zoo.py", "test_awkward.py", "test_hand_ins.py",
    "test_evaluation.py", "test_batches.py", "test_cli.py", "test_site.py", "test_photographs.py",
    "test_badges.py", "test_real.py", "test_explorers.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.name
        return LONG.index(name) if name in LONG else len(LONG) + (item.path.suffix != ".ipynb")

    items.sort(key=place)


@pytest.fixture
def real():
    folder = real_folder()
    if folder is None:
        pytest.skip("no folder of real photographs: name one in the environment variable DGA_REAL")
    return folder


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU: run on a machine with CUDA")
    return request.param
