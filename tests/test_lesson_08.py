"""Lesson 08: its exercises name mistakes, its long runs measure what they say."""

from __future__ import annotations

import heavy_08
import pytest
import torch

import dga
from dga.lessons.checks import lesson_08
from dga.lessons.figures import sanity


def seeded(model, x, target):
    """Noise, its seed taken from the score."""
    with torch.no_grad():
        scores = model(x).gather(1, target[:, None])[:, 0]
    return torch.stack([
        torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(int(1e4 * abs(s))))
        for s in scores
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda m, x, t: x[0], "of the shape of x"),
        (lambda m, x, t: 0 * x, "not all the same"),
        (lambda m, x, t: torch.rand(x.shape), "needs a seed"),
        (lambda m, x, t: x, "the random network has the same map"),
        (lambda m, x, t: seeded(m, x, torch.zeros_like(t)), "which class is asked for"),
        (dga.gradient_times_input, "knows something"),
        (seeded, "They bless none"),
    ],
)
def test_the_impostor(answer, words, capsys):
    lesson_08.impostor(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, b, m: torch.where(m, b[:, 0], x[:, 0]), "of the shape of x"),
        (lambda x, b, m: b, "the object is gone too"),
        (lambda x, b, m: x * ~m[:, None], "what was behind it"),
        (lambda x, b, m: x, "what was behind it"),
        (lambda x, b, m: torch.where(m[:, None], b, x), "Right. Umbrella falls from 1.00 to 0.0"),
    ],
)
def test_the_mark_is_painted_over(answer, words, capsys):
    lesson_08.painted_over(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("method", ["edges", "gi", "fg"])
def test_stored_class_sensitivity_is_what_the_network_says_now(method):
    model, pair = dga.load_model("vgg"), dga.load_images("two", 4)
    x = model.preprocess(pair.images)
    maps = [heavy_08.attribute(method, model, x, t) for t in (pair.labels, pair.second_labels)]
    masks = pair.masks, pair.second_masks
    for k in range(4):
        of = []
        for asked in range(2):
            heat = maps[asked][k].sum(0).clamp(min=0)
            on = [float(heat[mask[k]].sum()) for mask in masks]
            of.append(on[asked] / sum(on))
        (row,) = [
            r for r in sanity.stored("classes")
            if (r["network"], r["method"], r["picture"]) == ("vgg", method, str(k))
        ]  # fmt: skip
        assert sum(of) / 2 == pytest.approx(float(row["share"]), abs=2e-4)


def test_a_map_that_does_not_listen_gets_a_half():
    rows = [r for r in sanity.stored("classes") if r["method"] in ("random", "edges")]
    assert rows and {r["share"] for r in rows} == {"0.5000"}


def test_looks_are_added_until_hardly_a_zero_is_left():
    model, pictures = dga.load_model("resnet"), dga.load_images("test", 1)
    x = model.preprocess(pictures.images)
    one, many = (
        dga.gradient_times_input(model, x, pictures.labels).clamp(min=0),
        heavy_08.cut_looks(model, x, pictures.labels, 0),
    )
    zeros = [float((a == 0).float().mean()) for a in (one, many)]
    assert zeros[0] > 0.3 and zeros[1] < 0.05 and (many >= 0).all()
    assert torch.equal(many, heavy_08.cut_looks(model, x, pictures.labels, 0))


def test_what_was_behind():
    """Everything removed is the empty picture; nothing of the background matters for LeRF."""
    model, pictures = dga.load_model("vgg"), dga.load_images("test", 2, without=True)
    x, behind = (model.preprocess(p) for p in (pictures.images, pictures.without))
    a, target = pictures.masks[:, None].expand_as(x).float(), pictures.labels
    with torch.no_grad():
        whole, empty = (model(z).softmax(1).gather(1, target[:, None]) for z in (x, behind))
    p = heavy_08.behind_instead(model, x, behind, a, target, "lerf", (0.0, 1.0))
    torch.testing.assert_close(p, torch.cat([whole, empty], 1))
    p = heavy_08.behind_instead(model, x, behind, a, target, "morf", (1.0,))
    torch.testing.assert_close(p, empty)


def test_the_best_multiple_is_taken():
    deltas = torch.tensor([[1.0, 2, 3], [1, 0, 0], [1, 2, 3]]).numpy()
    sums = torch.tensor([[-2.0, -4, -6], [0, 1, 0], [0, 0, 0]]).numpy()
    assert heavy_08._scaled(a=deltas, b=sums).tolist() == pytest.approx([0, 1, 1])
