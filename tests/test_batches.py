"""Any number of pictures: what comes out and in which order, little memory, several processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from networks import build, picture
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import dga
from dga import batches
from dga.batches import Halving, fitting_batch
from dga.experiments.evaluation import evaluate_folder


@pytest.fixture
def network():
    return build("cnn")


def expected(network, x, targets=None):
    return dga.uniform_fullgrad(network, x, targets)


def many(network, images, targets=None, **kwargs):
    kwargs = {"progress": False, **kwargs}
    return list(dga.attribute_many(dga.uniform_fullgrad, network, images, targets, **kwargs))


@pytest.mark.parametrize("batch", [None, 1, 3, 100])
def test_every_source_gives_the_same_in_its_order(network, batch):
    x = picture(3, batch=7)
    labels = torch.arange(7) % 5
    sources = {
        "tensor": x,
        "pictures": [one for one in x],
        "batches": x.split(2),
        "dataset": TensorDataset(x, labels),
        "loader": DataLoader(TensorDataset(x, labels), batch_size=3),
        "stream": (one for one in x),
    }
    for name, images in sources.items():
        heats = many(network, images, batch=batch)
        assert len(heats) == 7, name
        torch.testing.assert_close(torch.stack(heats), expected(network, x))


def test_targets_per_picture_and_several_per_picture(network):
    x = picture(4, batch=5)
    per_picture = torch.tensor([0, 1, 2, 3, 4])
    torch.testing.assert_close(
        torch.stack(many(network, x, per_picture, batch=2)), expected(network, x, per_picture)
    )
    several = torch.stack([per_picture, (per_picture + 1) % 5, (per_picture + 2) % 5], 1)
    heats = many(network, x, several, batch=2)  # batches cut through pictures
    assert len(heats) == 5
    for k, heat in enumerate(heats):
        assert heat.shape == (3, *x.shape[1:])
        torch.testing.assert_close(heat, expected(network, x[[k] * 3], several[k]))
    torch.testing.assert_close(torch.stack(many(network, x, 3)), expected(network, x, 3))


def test_sizes_may_differ(network):
    x, y = picture(1, batch=2), picture(2, batch=3)[:, :, :6, :6].contiguous()
    heats = many(network, [*x, *y, *x], batch=4)
    wanted = [*expected(network, x), *expected(network, y), *expected(network, x)]
    for heat, right in zip(heats, wanted, strict=True):
        torch.testing.assert_close(heat, right)


def test_results_come_as_they_are_made_and_options_reach_the_method(network):
    read = []

    def stream():
        for k, x in enumerate(picture(1, batch=6)):
            read.append(k)
            yield x

    heats = dga.attribute_many(
        dga.distilled_gradient_aggregation, network, stream(), 1, batch=2, progress=False, steps=3
    )
    first = next(heats)
    assert len(read) <= 3, "read ahead of what was asked for"
    right = dga.distilled_gradient_aggregation(network, picture(1, batch=6)[:2], 1, steps=3)[0]
    torch.testing.assert_close(first, right)


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (torch.zeros(2, 3, 8, 8).double(), torch.tensor([0]), "targets has 1 entries for 2 images"),
        ([torch.zeros(3, 8, 8).double()] * 2, [1], "1 entries, but there are more images"),
        ([torch.zeros(3, 8, 8).double()], [1, 1], "2 entries, but there are fewer images"),
        ([torch.zeros(8, 8)], None, r"images gave \(8, 8\)"),
        (["cat.png"], None, "images gave str"),
        (torch.zeros(2, 3, 8, 8).double(), torch.zeros(2), "is torch.float32"),
    ],
)
def test_bad_input(network, images, targets, message):
    with pytest.raises(ValueError, match=message):
        many(network, images, targets)


def test_nothing_gives_nothing(network):
    assert many(network, []) == []


def test_precision_is_that_of_the_call(network):
    network, x = network.float(), picture().float()
    with dga.precision("bfloat16"):
        heats = dga.attribute_many(dga.uniform_fullgrad, network, x, batch=8, progress=False)
        right = dga.uniform_fullgrad(network, x)
    assert torch.equal(torch.stack(list(heats)), right)


def starved(limit, calls):
    """A method that has memory for `limit` pictures at a time."""

    def method(model, inputs, targets=None):
        calls.append(len(inputs))
        if len(inputs) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return inputs * 2

    return method


def test_out_of_memory_halves_the_batch_with_one_warning(network):
    calls, x = [], picture(1, batch=20)
    with pytest.warns(UserWarning, match="a batch of 8 does not fit") as caught:
        heats = list(dga.attribute_many(starved(3, calls), network, x, batch=8, progress=False))
    assert len(caught) == 1
    assert torch.equal(torch.stack(heats), x * 2)
    # Tried with 8 and 4; from then on two at a time, and no picture is done twice.
    assert calls == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]


def test_one_picture_that_does_not_fit_is_an_error(network):
    with (
        pytest.warns(UserWarning, match="does not fit"),
        pytest.raises(torch.cuda.OutOfMemoryError),
    ):
        list(dga.attribute_many(starved(0, []), network, picture(), batch=2, progress=False))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def run(part):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Halving()(run, 4)


def test_batch_follows_free_memory(network, monkeypatch):
    x = picture().float()
    network = network.float()
    sizes = []
    for free in (1, 10**5, 10**6, 10**12):
        monkeypatch.setattr(batches, "_free_memory", lambda _, free=free: free)
        sizes.append(fitting_batch(network, x))
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] == 16
    assert all(size & (size - 1) == 0 for size in sizes)
    monkeypatch.undo()
    assert 2**20 < batches._free_memory(torch.device("cpu")) < 2**50


# Several processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    for k, image in enumerate(dga.load_images("test", 11).images):
        Image.fromarray(image).save(path / f"{k:02}.png")
    return path


METHODS = ("random", "gi", "dga")


def evaluate_alone(folder, output):
    evaluate_folder(dga.load_model("vgg"), folder, output, methods=METHODS, batch=2)


def evaluate_by_two(folder, output):
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         "-m", "dga", "evaluate", "--model", "vgg", "--images", str(folder), "--batch", "2",
         "--methods", *METHODS, "--output", str(output), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process):
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out[-3000:]
    return out


def contents(folder):
    """Of all files but those that were being written when a process was killed."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return {p.relative_to(folder): p.read_text() for p in files if not p.name.startswith(".")}


@pytest.fixture
def one_thread():
    """As the processes beside this one have it: another number may round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_processes_write_what_one_writes_even_after_they_were_killed(
    folder, tmp_path, one_thread
):
    """Composition of batches, numbers and files are the same, byte for byte."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    evaluate_alone(folder, tmp_path / "one" / "t[1].csv")
    process = evaluate_by_two(folder, tmp_path / "two" / "t[1].csv")

    def done():
        return len(list((tmp_path / "two" / "t[1].parts").glob("[0-9]*.csv")))

    until = time.monotonic() + 240
    while done() < 2:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "two" / "t[1].csv").exists() and 2 <= done() < 18
    shutil.copytree(tmp_path / "two", tmp_path / "alone")

    together = finish(evaluate_by_two(folder, tmp_path / "two" / "t[1].csv"))
    assert together.count("| DGA |") == 1  # one of them prints
    evaluate_alone(folder, tmp_path / "alone" / "t[1].csv")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert contents(tmp_path / "alone") == contents(tmp_path / "one")
