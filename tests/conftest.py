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
