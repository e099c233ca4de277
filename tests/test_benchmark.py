"""The benchmark measures what it says: counted, not timed."""

from __future__ import annotations

import json

import pytest
import torch
from networks import build, picture

import dga
from dga.__main__ import main
from dga.experiments import benchmark
from dga.experiments.benchmark import Row

ROWS = [Row("a", "x / y", "<= 1", (1.5, 1.0, 2.0), 0.25), Row("b", "x / y", "<= 1", note="no GPU")]


def counted(network):
    forwards, backwards = [], []
    network.register_forward_hook(lambda *_: forwards.append(1))
    network[0].register_full_backward_hook(lambda *_: backwards.append(1))
    return forwards, backwards


def test_the_floor_is_as_many_passes_as_dga():
    network, x = build("cnn").float(), picture().float()
    forwards, backwards = counted(network)
    targets = torch.tensor([0, 1, 2])
    dga.distilled_gradient_aggregation(network, x, targets, steps=7)
    assert (len(forwards), len(backwards)) == (8 + 2, 8)  # two of single pictures
    run = benchmark._prepared_bare_loop(network, x, targets, 7)
    model, inputs, _, passes = run.args
    assert passes == 8 and model is not network
    assert not any(p.requires_grad for p in model.parameters())
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    run()
    assert all(p.requires_grad for p in network.parameters())


def test_the_explicit_loop_walks_the_same_sequence():
    network, x = build("cnn"), picture()
    targets = torch.tensor([0, 1, 2])
    last = benchmark._explicit_loop(network, x, targets, 5)
    *_, step = dga.distill(network, x, targets, steps=5)
    torch.testing.assert_close(last, step.distilled)


def test_both_sides_are_timed_in_turn():
    calls = []
    ratios, _ = benchmark.compare(lambda: calls.append("a"), lambda: calls.append("b"), rounds=3)
    assert calls == ["a", "b"] * 5 and len(ratios) == 3  # two rounds do not count


def test_the_cases_of_the_table(monkeypatch):
    """DGA and its rivals on the same network, the fair one frozen and channels-last."""
    pytest.importorskip("captum")
    seen = []

    def compare(run, other, rounds):
        seen.append((run, other))
        return (1.0,), 1.0

    monkeypatch.setattr(benchmark, "compare", compare)
    monkeypatch.setattr(benchmark, "_memory", lambda: ROWS[1])
    monkeypatch.setattr(benchmark, "_has_bfloat16", lambda: False)
    rows = benchmark.measure(torch.device("cpu"), 1)
    bare = [row.case.split(",")[0] for row in rows if row.measure == "DGA / bare loop"]
    assert bare == ["SqueezeNet 1.1", "ResNet-18", "MobileNet-v2", "vgg", "resnet", "inception",
                    "smooth"]  # fmt: skip
    rivals = [row.measure for row in rows if "Captum" in row.measure]
    assert [name.split(", ", 1)[1] for name in rivals] == ["as called", "frozen, channels-last"]
    plain, fair = (other for _, other in seen if hasattr(getattr(other, "func", None), "__self__"))
    for ig, prepared in ((plain, False), (fair, True)):
        model = ig.func.__self__.forward_func
        assert all(p.requires_grad != prepared for p in model.parameters())
        x = ig.args[0]
        assert x.is_contiguous(memory_format=torch.channels_last) == prepared
        assert ig.keywords["n_steps"] == 31
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        benchmark.measure(torch.device("cpu"), 0)


def test_shares_are_shares():
    network, x = build("cnn").float(), picture().float()
    parts = benchmark.shares(network, x, torch.tensor([0, 1, 2]))
    assert sum(parts.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in parts.values()), parts


def test_sweep_gives_a_point_for_every_value():
    network = build("cnn").float()
    for what in ("steps", "batch", "side"):
        points = benchmark._sweep(network, what, (8, 16), steps=1, size=8, rounds=1)
        assert [point[what] for point in points] == [8, 16]
        assert all(point["dga"] > 0 < point["floor"] for point in points)


def test_table():
    lines = benchmark.table(ROWS).splitlines()
    assert lines[2] == "| a | x / y | <= 1 | 1.50 | 1.00 to 2.00 | 0.25 |  |"
    assert "not measured" in lines[3] and "no GPU" in lines[3]


def test_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark, "measure", lambda *a, **k: ROWS)
    monkeypatch.setattr(benchmark, "shares", lambda *a: {"forward": 1.0})
    assert main(["benchmark", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "| a | x / y |" in out and "The floor is a bare loop" in out and "threads" in out
    point = {"dga": 2.0, "floor": 1.0}
    found = {what: [{what: v, **point} for v in (1, 2)] for what in ("steps", "batch", "side")}
    monkeypatch.setattr(benchmark, "sweeps", lambda *a, **k: found)
    plot = tmp_path / "p.png"
    assert main(["benchmark", "--device", "cpu", "--json", "--plot", str(plot)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["median"] for row in report["rows"]] == [1.5, None]
    assert report["sweeps"] == found and plot.read_bytes().startswith(b"\x89PNG")
    assert main(["benchmark", "--rounds", "0"]) == 2
    assert main(["benchmark", "--plot", str(tmp_path / "no" / "p.png")]) == 2
    assert "does not exist" in capsys.readouterr().err
