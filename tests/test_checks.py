"""Feedback for the assignments: the truth passes, every named mistake is named."""

from __future__ import annotations

import re

import pytest
import torch

import dga
from dga import controls
from dga.lessons import checks
from dga.lessons.checks import (
    TASKS,
    Wrong,
    lesson_00,
    lesson_01,
    lesson_04,
    lesson_06,
    lesson_11,
    lesson_12,
)

MISTAKES = [(name, message) for name, task in TASKS.items() for message in task.mistakes]


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answer_passes(name, capsys):
    TASKS[name](TASKS[name].truth)
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(("name", "message"), MISTAKES)
def test_every_mistake_is_recognised_by_its_name(name, message):
    with pytest.raises(Wrong) as caught:
        TASKS[name](TASKS[name].mistakes[message])
    assert str(caught.value) == message


@pytest.mark.parametrize("name", TASKS)
def test_no_two_mistakes_of_a_task_are_the_same(name):
    task = TASKS[name]
    results = [[wrong(*case) for case in task.cases()] for wrong in task.mistakes.values()]
    for k, result in enumerate(results):
        for other in results[:k]:
            assert not all(map(checks.task._equal, result, other))


def library(method, **options):
    return lambda model, x, target, *more: method(model, x, target, **options)


def test_truths_agree_with_the_library():
    model, (x, target) = checks.examples.network(), checks.examples.pictures()
    close = torch.testing.assert_close
    close(checks.input_gradient.truth(model, x, target), dga.gradient(model, x, target))
    close(
        checks.gradient_times_input.truth(model, x, target),
        dga.gradient_times_input(model, x, target),
    )
    close(
        checks.integrated_gradients.truth(model, x, target, 5),
        dga.integrated_gradients(model, x, target, steps=5),
    )
    close(checks.uniform_fullgrad.truth(model, x, target), dga.uniform_fullgrad(model, x, target))
    terms = dga.bias_attributions(model, x, target)
    close(checks.bias_sum.truth(model, x, target), sum(t.flatten(1).sum(1) for t in terms.values()))
    for v, share in checks.masks._ties():
        batch = v[None]
        assert torch.equal(checks.weak_mask.truth(v, share),
                           dga.weak_contributor_mask(batch, share)[0])  # fmt: skip
        assert torch.equal(checks.extreme_mask.truth(v, share),
                           dga.extreme_positive_contributor_mask(batch, share)[0])  # fmt: skip
    steps = list(dga.distill(model, x, target, steps=4, epc_quantile=0.8))
    for mine, step in zip(
        checks.distilled_inputs.truth(model, x, target, 4, 0.8), steps, strict=True
    ):
        close(mine, step.distilled)
    for beta in (0.0, 0.5):
        close(
            checks.distilled_gradient_aggregation.truth(model, x, target, 4, 0.8, beta),
            dga.distilled_gradient_aggregation(
                model, x, target, steps=4, epc_quantile=0.8, negative_scale=beta
            ),
        )


def test_gradients_left_in_the_parameters_are_found_and_removed():
    def careless(model, x, target):
        x.requires_grad_()
        checks.examples.score(model, x, target).sum().backward()
        return x.grad

    with pytest.raises(Wrong, match="left behind in the parameters"):
        checks.input_gradient(careless)
    assert all(p.grad is None for p in checks.examples.network().parameters())
    checks.input_gradient(checks.input_gradient.truth)  # the next one is not blamed for it


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"a function is needed, f\(model, x, target\); this is NoneType"),
        (lambda m, x, t: None, "returns nothing yet"),
        (lambda m, x, t: 1.0, "must return a tensor, this is float"),
        (lambda m, x, t: x[0], r"must return shape \(2, 3, 6, 6\), this has \(3, 6, 6\)"),
        (lambda m, x, t: 0 * x, r"value at \[0, 0, 0, 0\] is 0, right is .*% of the values"),
    ],
)
def test_other_wrong_answers(answer, message):
    with pytest.raises(Wrong, match=message):
        checks.input_gradient(answer)


def test_types_and_lengths():
    with pytest.raises(Wrong, match=r"must return torch.bool, this is torch.float64"):
        checks.weak_mask(lambda v, s: checks.weak_mask.truth(v, s).double())
    with pytest.raises(Wrong, match=r"must return torch.float64, this is torch.float32"):
        checks.input_gradient(lambda m, x, t: checks.input_gradient.truth(m, x, t).float())
    with pytest.raises(Wrong, match=r"must return 5 things, this is 6"):
        checks.distilled_inputs(lambda m, x, t, N, q: [x] * 6)
    with pytest.raises(Wrong, match=r"number 1: the value at"):
        checks.distilled_inputs(lambda m, x, t, N, q: [x] * 5)
    double = checks.Task("f(x)", lambda: [(1.5,)], lambda x: 2 * x, {})
    with pytest.raises(Wrong, match=r"must return a number, this is str"):
        double(lambda x: "3")
    with pytest.raises(Wrong, match=r"the value is 0, right is 3"):
        double(lambda x: 0)


def test_an_exception_is_the_learners():
    def broken(model, x, target):
        return undefined_name  # noqa: F821

    with pytest.raises(Wrong) as caught:
        checks.input_gradient(broken)
    text = str(caught.value)
    assert "NameError: name 'undefined_name' is not defined" in text
    assert "test_checks.py" in text and "return undefined_name" in text
    assert "dga/lessons" not in text
    assert caught.value._render_traceback_() == [f"Not yet: {text}"]


def test_changing_the_arguments_does_not_change_the_question():
    def destructive(model, x, target):
        result = checks.input_gradient.truth(model, x, target)
        x.zero_(), target.zero_()
        return result

    checks.input_gradient(destructive)
    checks.input_gradient(checks.input_gradient.truth)


def test_choices(capsys):
    checks.prediction("b", "ABC")
    for bad in ("", "D", None, "AB"):
        with pytest.raises(Wrong, match="one letter, A, B, C"):
            checks.prediction(bad, "ABC")
    why = {"A": "because", "B": "no: that is the sky"}
    checks.choice("a", "A", why)
    assert "Right. because" in capsys.readouterr().out
    with pytest.raises(Wrong, match="the sky"):
        checks.choice("B", "A", why)
    with pytest.raises(Wrong, match="one letter"):
        checks.choice(None, "A", why)


@pytest.mark.parametrize(
    ("modest", "boaster", "words"),
    [
        (lambda x: None, lambda x: x, "modest returns nothing yet"),
        (lambda x: x, lambda x: x**6, "which is the truth"),
        (lambda x: 1 - torch.relu(1 - x), lambda x: x**6, "fold at x = 1 itself"),
        (lambda x: 1 - torch.relu(1 - 2 * x), lambda x: x**2, "climb late"),
        (lambda x: 1 + 0 * x, lambda x: x, "modest is 1.00 at x = 0"),
        (lambda x: (x > 0.5).double(), lambda x: x**6, "modest rises by 1, but its mean slope"),
        (
            lambda x: 1 - torch.relu(1 - 2 * x),
            lambda x: 5000 * torch.relu(x - 0.9998),
            "is 0.0. It must not jump, nor climb too sharply",
        ),
        (lambda x: x * (2 - x), lambda x: x**6, "Right. Both scores rise by 1."),
    ],
)
def test_scores_that_lie(modest, boaster, words, capsys):
    lesson_01.liars(modest, boaster)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("message", lesson_04._PIXELS.mistakes)
def test_lesson_04_names_mistakes(message, capsys):
    lesson_04.pixel_mask(lesson_04._PIXELS.mistakes[message])
    assert capsys.readouterr().out == f"Not yet: {message}\n"


def test_lesson_00_asks_for_the_right_object_and_for_few_pixels(capsys):
    model = dga.load_model("resnet")
    pair = dga.load_images("two", 1)
    x = model.preprocess(pair.images)
    classes = int(pair.labels[0]), int(pair.second_labels[0])
    first, second = (dga.distilled_gradient_aggregation(model, x, t) for t in classes)
    other = dga.distilled_gradient_aggregation(model, x, (max(classes) + 1) % 10)
    check = lesson_00.two_objects
    said = check(model, pair, first, second)
    name, drawn = model.classes[classes[1]], capsys.readouterr().out
    assert f"its heatmaps for {model.classes[classes[0]]} and for {name}" in drawn
    inside = 100 * dga.metrics.energy_inside(second, pair.second_masks).item()
    assert said.startswith("Right: of the map for") and f"{inside:.0f} % on the {name}." in said
    assert "why_first asks for the other" in check(model, pair, second, first)
    assert "neither of the two" in check(model, pair, first, other)
    assert "shape" in check(model, pair, first, x[0])
    ask = lesson_00.fewest_pixels
    x = model.preprocess(dga.load_images("figures", 1).images)
    assert "whole number from 1 to 100" in ask(model, x, dga.gradient, 0)
    assert ask(model, x, dga.gradient_times_input, 100).startswith("It holds")
    assert ask(model, x, lambda model, x: -x.abs(), 1).startswith("Not yet")
    curve = dga.pixel_perturbation(
        model, x, dga.fullgrad(model, x), None, "lerf", shares=[1 - k / 100 for k in range(1, 101)]
    )[0]
    least = next(k for k, p in enumerate(curve.tolist(), 1) if p >= 0.5)
    assert ask(model, x, dga.fullgrad, least).startswith(f"Right: {least} %")
    assert ask(model, x, dga.fullgrad, least - 1).startswith("Not yet")


def test_lesson_11_knows_a_plan_from_a_wish():
    plan = lesson_11.plan
    assert plan(0.1, 10, 100_000, 30).startswith("Too long")
    assert plan(0.001, 10, 10, 30).startswith("It fits, but")
    # 1,000 pictures: 3 * 31 + 6 passes and 6 * 21 forward passes at a third, 0.1 s each.
    hours = 1000 * 0.1 * (99 + 42) / 3600
    assert plan(0.1, 10, 1000, 30).startswith(f"A plan: {hours:.1f} hours; 30% of it")
    for steps in (1, 7, 9):
        assert plan(0.014, 10, 15_000, steps).startswith("It fits, but so few looks lose LeRF")
    assert plan(0.014, 10, 15_000, 10).startswith("A plan")


def test_a_map_that_sees_no_network_is_measured(capsys):
    lesson_06.blind_map(lambda x: x * float("nan"))
    assert "not finite" in capsys.readouterr().out
    blob = lambda x: controls.centre_blob(None, x)  # noqa: E731
    lesson_06.blind_map(blob)
    said = capsys.readouterr().out
    assert "Not yet: without a network it beats IG on 3 of 3 photographs, the blob on 0" in said
    lesson_06.blind_map(lambda x: x.abs() * (blob(x) - blob(x).amin()))  # the lesson's solution
    assert "Right: without a network it beats IG on 3 of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda morf, a: morf(-a), "Right"),
        (lambda morf, a: morf(a), "nothing is turned round"),
        (lambda morf, a: morf(-a.abs()), "without signs"),
        (lambda morf, a: morf(a.abs()), "MoRF without signs"),
        (lambda morf, a: morf(a) * 0.5, "neither LeRF"),
        (lambda morf, a: morf(a).mean(), "one score a picture"),
    ],
)
def test_lerf_of_morf(answer, said, capsys):
    lesson_06.lerf_of_morf(answer)
    assert said in capsys.readouterr().out


def test_lesson_04_says_plus_where_the_answer_is_better(capsys):
    lesson_04.weights(lambda t: (t, 0))  # WC only: worse in MoRF, more in the object
    said = capsys.readouterr().out
    assert "plus is better" in said
    assert re.search(r"^MoRF +-0", said, re.MULTILINE)
    assert re.search(r"top 10 % in the object +\+0\.\d\d  better", said)


@pytest.mark.parametrize(
    ("mine", "word"),
    [((0.04, 0.75, 0.1), "Right"), ((0.079, 0.8, 0.1), "as far"),
     ((0.04, 0.6, 0.1), "with LeRF"), ((0.02, 0.6, 0.3), "LeRF and MoRF")],
)  # fmt: skip
def test_lesson_12_says_what_a_repair_pays(mine, word):
    """Of movement, LeRF and MoRF, beside those of the stable DGA as it is."""
    assert word in lesson_12._verdict(mine, (0.08, 0.76, 0.09))


def test_lesson_12_is_not_fooled_by_a_constant(capsys):
    """A constant moves no pixel past another, and makes the map as long as one likes."""
    lesson_12.change(lambda *a: dga.gradient_times_input(*a) + 100, dga.gradient_times_input)
    assert "Not yet: noise moves it as far as before" in capsys.readouterr().out
    clean, noisy = torch.rand(2, 1, 3, 4, 4)
    lifted = torch.tensor([50.0, -20.0, 7.0]).view(1, 3, 1, 1)
    moved = lesson_12._moved(clean, noisy)
    assert lesson_12._moved(clean + lifted, noisy + lifted) == pytest.approx(moved, rel=1e-3)


def test_lesson_12_does_not_take_the_packages_own_version(capsys):
    own = dga.stable_distilled_gradient_aggregation
    lesson_12.change(lambda *a: own(*a, steps=1), dga.gradient)
    assert "that is the package's own version" in capsys.readouterr().out
