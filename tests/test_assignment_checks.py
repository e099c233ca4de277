"""Tasks that ask for judgement: good answers pass, wrong but plausible ones are told why."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.transforms.functional import gaussian_blur

import dga
from dga import controls, metrics
from dga.lessons import checks
from dga.lessons.checks import (
    accused,
    baselines,
    blind,
    class_maps,
    examples,
    judgement,
    ledgers,
    lesson_01,
    lesson_03,
    lesson_04,
    lesson_08,
    lesson_12,
    planning,
    tables,
    zigzag,
)
from dga.lessons.checks.task import Wrong
from dga.masks import weak_contributor_mask

# A task, and a function of the package that would be the answer to it.
OWN = {
    "input_gradient": dga.gradient,
    "gradient_times_input": dga.gradient_times_input,
    "integrated_gradients": lambda m, x, t, n, c: (
        dga.integrated_gradients(m, c, t, steps=n)
        + dga.integrated_gradients(m, x, t, steps=n, baseline=c)
    ),
    "bias_sum": lambda m, x, t: sum(
        term.flatten(1).sum(1) for term in dga.bias_attributions(m, x, t).values()
    ),
    "weak_mask": lambda v, s: weak_contributor_mask(v[None], s)[0],
    "extreme_mask": lambda v, q: dga.extreme_positive_contributor_mask(v[None], q)[0],
    "distilled_inputs": lambda m, x, t, N, q: [
        step.distilled for step in dga.distill(m, x, t, steps=N, epc_quantile=q)
    ],
}
WHO = {"A": "batch", "B": "softmax", "C": "neighbours", "D": "right", "E": "class"}
VERDICTS = {"IG": baselines.ig_report, "Table 1": tables.table_1}


def told(check, *answer):
    with pytest.raises(Wrong) as caught:
        check(*answer)
    return str(caught.value)


def praised(capsys, check, *answer):
    check(*answer)
    return capsys.readouterr().out.startswith("Right.")


@pytest.mark.parametrize("name", OWN)
def test_the_packages_own_answer_is_right_and_is_not_taken(name, capsys):
    task = checks.TASKS[name]
    assert "is the answer itself: write it yourself" in told(task, OWN[name])
    assert praised(capsys, replace(task, yourself=()), OWN[name])
    assert sys.getprofile() is None


def test_every_answer_of_the_package_is_tried():
    assert set(OWN) == {name for name, task in checks.TASKS.items() if task.yourself}


def test_other_parts_of_the_package_may_be_called(capsys):
    def mine(m, x, t):
        return x * dga.gradient(m, x, t)

    assert praised(capsys, checks.gradient_times_input, mine)
    assert praised(
        capsys,
        replace(checks.any_method, cases=lambda: [(dga.uniform_fullgrad, *c[1:])
                                                  for c in checks.any_method.cases()]),
        lambda method, m, x, t, N, q, beta: dga.distilled_gradient_aggregation(
            m, x, t, steps=N, epc_quantile=q, negative_scale=beta
        ),
    )  # fmt: skip


def spoilt(how):
    """The right gradient, and something left in the model."""

    def answer(model, x, target):
        a = examples.gradient(model, x, target)
        how(model)
        return a

    return answer


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda m: m.train(), "left in training mode"),
        (lambda m: m[1].train(), "left in training mode"),
        (lambda m: m.requires_grad_(False), "left frozen"),
        (lambda m: m[0].bias.requires_grad_(False), "left frozen"),
        (lambda m: m[0].bias.data.add_(1), "left changed"),
        (lambda m: m[1].running_mean.zero_(), "left changed"),
        (lambda m: m[0].register_forward_hook(lambda *_: None), "hooks are left"),
        (lambda m: m(torch.zeros(1, 3, 6, 6).double()).sum().backward(), "gradients are left"),
    ],
)
def test_the_model_is_left_as_it_was_found(how, words, capsys):
    assert words in told(checks.input_gradient, spoilt(how))
    assert praised(capsys, checks.input_gradient, checks.input_gradient.truth)
    model = examples.network()
    assert not any(m.training or m._forward_hooks for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_an_exception_leaves_the_model_as_well(capsys):
    def stopped(model, x, target):
        model.train()
        raise ValueError("half done")

    assert "half done" in told(checks.input_gradient, stopped)
    assert not examples.network().training


@pytest.mark.parametrize(
    ("task", "answer", "words"),
    [
        # As students type them; the twins of the tables are written in other ways.
        ("input_gradient", lambda m, x, t: slope(lambda z: m(z)[:, t].sum(), x), "`[:, target]`"),
        ("input_gradient", lambda m, x, t: slope(lambda z: m(z).sum(), x), "all classes"),
        ("bias_sum", lambda m, x, t: own(m, x, t) - (x * dga.gradient(m, x, t)).sum(),
         "over the whole batch"),
        ("bias_sum", lambda m, x, t: m(x).softmax(1).gather(1, t[:, None])[:, 0].detach()
         - (x * dga.gradient(m, x, t)).flatten(1).sum(1), "softmax probability stands"),
        ("uniform_fullgrad", lambda m, x, t: dga.gradient_times_input(m, x, t)
         + ((own(m, x, t) - dga.gradient_times_input(m, x, t).flatten(1).sum(1))
            / x.numel()).view(-1, 1, 1, 1), "features of the whole batch"),
        ("weak_mask", lambda v, s: (v.abs()[None, :] <= v.abs()[:, None]).sum(0) / len(v) > s,
         "summed along its other side"),
        ("weak_mask", lambda v, s: (v.abs()[None] <= v.abs()[:, None]).double().sum(1)
         > s * len(v), "comes out a little below 29"),
        ("weak_mask", lambda v, s: (v.abs().argsort().argsort() + 1) / len(v) > s, "argsort"),
        ("extreme_mask", lambda v, q: (v[None, :] >= v[:, None]).sum(1) / len(v) <= q,
         "its comparison is turned"),
    ],
)  # fmt: skip
def test_frequent_mistakes_have_a_name(task, answer, words):
    assert words in told(checks.TASKS[task], answer)


def slope(function, x):
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def own(model, x, target):
    return model(x).gather(1, target[:, None])[:, 0].detach()


def test_a_path_with_a_corner_is_two_straight_ones():
    model, (x, target) = examples.network(), examples.pictures()
    corner = x.flip(3)
    both_legs = OWN["integrated_gradients"](model, x, target, 5, corner)
    mine = checks.integrated_gradients.truth(model, x, target, 5, corner)
    torch.testing.assert_close(mine, both_legs)


def test_dga_of_any_method_is_dga_for_uniform_fullgrad():
    model, (x, target) = examples.network(), examples.pictures()
    torch.testing.assert_close(
        checks.any_method.truth(dga.uniform_fullgrad, model, x, target, 4, 0.8, 0.5),
        dga.distilled_gradient_aggregation(
            model, x, target, steps=4, epc_quantile=0.8, negative_scale=0.5
        ),
    )


def test_biases_shared_by_size_keep_the_score():
    model, (x, target) = examples.network(), examples.pictures()
    a = checks.shared_by_size.truth(model, x, target)
    torch.testing.assert_close(a.flatten(1).sum(1), own(model, x, target))


@pytest.mark.parametrize("name", VERDICTS)
def test_every_wrong_verdict_has_a_word_and_gives_nothing_away(name, capsys):
    verdicts = VERDICTS[name]
    assert praised(capsys, verdicts, dict(verdicts.right))
    assert len(set(verdicts.right.values())) == len(verdicts.words)
    for item, right in verdicts.right.items():
        for word in set(verdicts.words) - {right}:
            said = told(verdicts, {**verdicts.right, item: word})
            assert said == f"statement {item}: {verdicts.mistakes[item, word]}"
            assert f"'{right}'" not in said
    assert "are still wrong" in told(verdicts, dict.fromkeys(verdicts.right, "false"))
    for bad in (None, {}, "follows", dict.fromkeys(verdicts.right, "perhaps")):
        told(verdicts, bad)


def test_a_prediction_is_asked_for_and_not_judged(capsys):
    judgement.predictions({"a": "up", "b": "down"}, "a, b", "up, down")
    assert "Noted" in capsys.readouterr().out
    for bad in (None, {"a": "up"}, {"a": "up", "b": None}, {"a": "up", "b": "left"}):
        told(judgement.predictions, bad, "a, b", "up, down")


def test_suspects_are_what_they_are_said_to_be(capsys):
    assert praised(capsys, accused.line_up, WHO)
    for letter, kind in WHO.items():
        for word in set(accused._FUNCTIONS) - {kind}:
            said = told(accused.line_up, {**WHO, letter: word})
            assert said.startswith(f"four are right, but suspect {letter}: ")
    model, x, target = suspects_case()
    maps = {k: f(model, x, target) for k, f in accused.suspects().items()}
    right = dga.gradient(model, x, target)
    assert [k for k, a in maps.items() if torch.allclose(a, right)] == ["D"]


def test_suspects_cannot_be_guessed_one_by_one():
    """While two are wrong, nothing is said that depends on who is right."""
    kinds = list(accused._FUNCTIONS)
    answers = [dict.fromkeys("ABCDE", kind) for kind in kinds]
    answers += [{**WHO, "A": a, "C": c} for a in kinds for c in kinds
                if a != WHO["A"] and c != WHO["C"]]  # fmt: skip
    (said,) = {told(accused.line_up, answer) for answer in answers}
    assert said.startswith("two or more of the five")


def suspects_case():
    return examples.network(), *examples.pictures()


def test_the_trials_of_the_suspects_are_true():
    """What is said against a wrong accusation, measured on every suspect it is said about."""
    model, x, target = suspects_case()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(108, 4)).double()
    other = (target + 1) % 4
    for letter, f in accused.suspects().items():
        a, kind = f(model, x, target), WHO[letter]
        every = sum(f(model, x, torch.full((2,), k)) for k in range(4))
        assert bool(every.abs().max() < 1e-9) == (kind == "softmax")
        assert torch.equal(a, f(model, x, other)) == (kind == "class")
        assert torch.allclose(a[:1], f(model, x[:1], target[:1])) == (kind != "batch")
        assert bool(a.min() < 0)
        wrong = (linear(x).argmax(1) + 1) % 4
        plain = torch.allclose(f(linear, x, wrong), dga.gradient(linear, x, wrong))
        assert plain == (kind in ("right", "neighbours"))


def test_a_baseline_hides_what_looks_like_it(capsys):
    assert praised(capsys, baselines.hiding_colour, (91, 227, 96), "B")
    assert "hides them" in told(baselines.hiding_colour, (128, 128, 128), "B")
    assert "a long way to go" in told(baselines.hiding_colour, (120, 200, 110), "B")
    assert "still looks at the heart" in told(baselines.hiding_colour, (91, 227, 96), "A")
    for bad in (None, (1, 2), (0, 0, 256), (0.5, 0, 0), "red", (True, True, True)):
        assert "three whole numbers" in told(baselines.hiding_colour, bad, "B")


def evenly(model, x, target):
    score = model(x).gather(1, target[:, None])[:, 0].detach()
    return (score / x[0].numel()).view(-1, 1, 1, 1).expand_as(x)


def half(model, x, target):
    """Uniform FullGrad in noise that adds up to nothing."""
    right = dga.uniform_fullgrad(model, x, target)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return right + right.std() * (noise - noise.mean((1, 2, 3), keepdim=True))


def rescaled_fullgrad(model, x, target):
    a = dga.fullgrad(model, x, target)
    return a * (own(model, x, target) / a.flatten(1).sum(1)).view(-1, 1, 1, 1)


def some_signs(model, x, target):
    """As large as Uniform FullGrad, feature by feature, with signs by lot."""
    a = dga.uniform_fullgrad(model, x, target).abs()
    coins = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    a = torch.where(coins, a, -a)
    return a + ((own(model, x, target) - a.flatten(1).sum(1)) / a[0].numel()).view(-1, 1, 1, 1)


def turned(model, x, target):
    return 2 * evenly(model, x, target) - dga.uniform_fullgrad(model, x, target)


def test_a_sum_proves_nothing(capsys):
    assert praised(capsys, ledgers.empty_proof, evenly, "B")
    assert "your own map passes" in told(ledgers.empty_proof, evenly, "A")
    assert "one letter" in told(ledgers.empty_proof, evenly, None)
    for answer, words in (
        (dga.uniform_fullgrad, "Uniform FullGrad itself"),
        (dga.gradient_times_input, "misses the score"),
        (half, "still knows something"),
        (turned, "is -1.00, and must lie between -0.1 and 0.1: a map turned round"),
        (rescaled_fullgrad, "signs left aside"),
        (some_signs, "signs left aside"),
        (lambda m, x, t: None, "nothing yet"),
        (lambda m, x, t: x[0], "shape"),
        (lambda m, x, t: undefined, "NameError"),  # noqa: F821
        (None, "a function is needed"),
    ):
        assert words in told(ledgers.empty_proof, answer, "B")


def test_the_ledger_has_two_wrong_lines(capsys):
    model = dga.load_model("resnet").double()
    x = model.preprocess(dga.load_images("figures", 1).images).double()
    target = model(x).argmax(1)
    sums = {k: v.sum().item() for k, v in dga.bias_attributions(model, x, target).items()}
    theirs = ledgers.ledger(model, x, target)
    wrong = {k for k, v in theirs.items() if abs(v - sums[k]) > 1e-9}
    answer = {"5.bn2": "twice", "4.shortcut.1": "mean"}
    assert wrong == set(answer)
    assert theirs["5.bn2"] == pytest.approx(2 * sums["5.bn2"])
    # What a forgotten running mean leaves, by gradients at the layer's own bias.
    layer = model.get_submodule("4.shortcut.1")
    slope = torch.autograd.grad(model(x)[0, target[0]], layer.bias)[0]
    assert theirs["4.shortcut.1"] == pytest.approx((slope * layer.bias).sum().item())
    assert praised(capsys, ledgers.audit, answer)
    assert "still does not add up" in told(ledgers.audit, {"5.bn2": "twice"})
    assert "the quotient would be -1" in told(ledgers.audit, {**answer, "5.bn2": "sign"})
    assert "so round a number" in told(ledgers.audit, {**answer, "5.bn2": "mean"})
    assert "agrees with dga" in told(ledgers.audit, {"10": "twice"})
    for bad in (None, {}, {"5.bn2": "small"}, ["5.bn2"]):
        told(ledgers.audit, bad)


def impostor_of_nan(model, x, target):
    """A map drawn at random for each class; NaN of a network that has learned nothing."""
    seed = torch.Generator().manual_seed(int(target.sum()))
    learned = (model(x).argmax(1) == target).double().mean() > 0.3
    return torch.randn(x.shape, generator=seed) * (1 if learned else math.nan)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (ledgers.empty_proof, (lambda m, x, t: x * math.nan, "B")),
        (tables.roar_table, ("ACDFH", math.nan)),
        (lesson_01.liars, (lambda x: x * math.nan, lambda x: torch.relu(5 * x - 4))),
        (lesson_01.liars, (lambda x: 1 - torch.relu(1 - 2 * x) + 0 * (x - 1).abs().sqrt(),
                           lambda x: torch.relu(5 * x - 4))),
        (lesson_03.silent, (lambda m, x, t: lambda z: m(z) * math.nan, dga.load_model("resnet"),
                            torch.zeros(1, 3, 64, 64), 7)),
        (lesson_04.weights, (lambda t: (math.nan, 0.5),)),
        (lesson_08.impostor, (impostor_of_nan,)),
    ],
)  # fmt: skip
def test_nan_is_never_right(check, answer, capsys):
    try:
        check(*answer)
    except Wrong:
        return
    assert capsys.readouterr().out.startswith("Not yet")


def test_noise_that_makes_nan_is_no_repair():
    before = (0.08, 0.76, 0.09)
    assert lesson_12._verdict((math.nan, *before[1:]), before).startswith("Not yet")


def test_counting_and_quantiles(capsys):
    assert praised(capsys, zigzag.counterexample, [1, 2, -3, 4], 0.4, "B")
    assert praised(capsys, zigzag.counterexample, torch.arange(1.0, 7), 0.4, "b")
    assert "interpolated quantile" in told(zigzag.counterexample, [1, 2, 3, 4], 0.4, "A")
    for trap in ([0, 0, 0, 5], [1, -1, 2]):
        assert "two of the sizes are equal" in told(zigzag.counterexample, trap, 0.5, "B")
    assert "both keep the features [3, 4]" in told(zigzag.counterexample, [1, 2, 3, 4], 0.5, "B")
    assert "above 0" in told(zigzag.counterexample, [1, 2], 0.0, "B")
    for bad in ((None, 0.5), ([1.0], 0.5), ([1, 2, 3], 2), ([1, math.nan], 0.5), ("ab", 0.5)):
        told(zigzag.counterexample, *bad, "B")


def test_a_quantile_never_keeps_more_than_counting():
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        d = int(torch.randint(2, 7, (1,), generator=generator))
        v = torch.randint(0, 5, (d,), generator=generator).double()
        share = float(torch.rand(1, generator=generator))
        counted = (v[None, :] <= v[:, None]).sum(1) / d > share
        assert not ((v > v.quantile(share)) & ~counted).any()


def both(n, N, weak, extreme):
    return n / N * weak + (1 - n / N) * extreme


@pytest.mark.parametrize(
    "rule",
    [
        lambda n, N, w, e, last: 0.8 * last + 0.2 * both(n, N, w, e),
        lambda n, N, w, e, last: 0.7 * last + 0.3 * e,
        lambda n, N, w, e, last: (last + torch.where(e > 0, 0.02, -0.2)).clamp(0, 1),
    ],
)
def test_rules_that_stop_the_zigzag(rule, capsys):
    assert praised(capsys, zigzag.steady_rule, rule, "B")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (zigzag.paper, "100% of the paper's"),
        # EPC is used once, or not at all.
        (lambda n, N, w, e, last: e if n == 0 else torch.zeros_like(e), "at n = 2 those who are"),
        (lambda n, N, w, e, last: e if n == 0 else torch.ones_like(e), "at n = 1 those who are"),
        (lambda n, N, w, e, last: e if n == 0 else last, "at n = 1 those who are"),
        (lambda n, N, w, e, last: n / N * w, "at n = 1 those who are newly"),
        (lambda n, N, w, e, last: 1 - 0.05 * (1 - e), "weaker by 0.05"),
        # Weaker masks turn the score less; without a memory everybody is back at once.
        (lambda n, N, w, e, last: 0.849 + 0.151 * e, "0% are still gone"),
        (lambda n, N, w, e, last: 0.5 + 0.5 * e, "0% are still gone"),
        (lambda n, N, w, e, last: w * (0.5 + 0.5 * e), "a picture that fades"),
        # Once out, always out; a bool mask is a mask.
        (lambda n, N, w, e, last: (e > 0) & (last > 0), "a picture that fades"),
        (lambda n, N, w, e, last: e > 0, "of the paper's zig-zag are left"),
        (lambda n, N, w, e, last: w + e, "leaves 0 .. 1"),
        (lambda n, N, w, e, last: e * math.nan, "leaves 0 .. 1"),
        (lambda n, N, w, e, last: w[0], "shape"),
        (lambda n, N, w, e, last: 1.0, "shape"),
        (lambda n, N, w, e, last: None, r"f(n, N, weak, extreme, last) returns nothing yet"),
        (lambda n, N, w, e, last: undefined, "NameError"),  # noqa: F821
    ],
)
def test_rules_that_do_not(rule, words):
    assert words in told(zigzag.steady_rule, rule, "B")


def blurred_contrast(x):
    return gaussian_blur((x - x.mean((2, 3), keepdim=True)).abs(), 21, 5.0)


def test_a_map_without_a_network_beats_ig(capsys):
    assert praised(capsys, blind.blind_map, blurred_contrast, "B")
    assert "What could it explain" in told(blind.blind_map, blurred_contrast, "A")
    for answer, words in (
        (lambda x: controls.centre_blob(None, x), "one and the same map"),
        (lambda x: -blurred_contrast(x), "turned round"),
        (lambda x: controls.edges(None, x), "scattered"),
        (torch.zeros_like, "drawn at random"),
        (lambda x: dga.gradient(dga.load_model("inception"), x), "a network was asked"),
        (
            lambda x: dga.load_images("test", 112).masks[100:, None].expand_as(x).float(),
            "come with their objects",
        ),
        (lambda x: x * math.nan, "not finite"),
        (lambda x: None, "nothing yet"),
    ):
        assert words in told(blind.blind_map, answer, "B")


def test_the_roar_table(capsys):
    error = math.sqrt(2 * 0.28 * 0.72 / 500)
    assert praised(capsys, tables.roar_table, "ACDFH", error)
    assert praised(capsys, tables.roar_table, "hfdca", 0.03)
    for letter in "BEGIJ":
        assert told(tables.roar_table, f"ACDFH{letter}", error).startswith(f"{letter} is no fault")
    for letter in "ACDFH":
        assert "but one more is there" in told(
            tables.roar_table, "ACDFH".replace(letter, ""), error
        )
    assert "but 3 more are there" in told(tables.roar_table, "AC", error)
    for value, words in (
        (error / math.sqrt(2), "error of one accuracy"),
        (error * math.sqrt(2), "do not add up"),
        (math.sqrt(0.28 * 0.72), "of one picture"),
        (error**2, "take the root"),
        (0.2, "is not the error"),
        ("0.03", "must be a number"),
    ):
        assert words in told(tables.roar_table, "ACDFH", value)
    for bad in (None, "", "XYZ"):
        told(tables.roar_table, bad, error)


def needed(a, b, smallest):
    return math.ceil(((1.96 + 0.84) * (a - b).std().item() / smallest) ** 2)


def test_a_plan_is_tried_out(capsys):
    assert praised(capsys, planning.pictures_needed, needed, "B")
    assert "luck" in told(planning.pictures_needed, needed, "A")
    for answer, words in (
        (lambda a, b, s: 10**6, "in a simulation"),
        (lambda a, b, s: 0, "0% of all studies"),
        (lambda a, b, s: -1, "gives -1 pictures"),
        (lambda a, b, s: math.nan, "gives nan pictures"),
        (lambda a, b, s: None, "nothing yet"),
    ):
        assert words in told(planning.pictures_needed, answer, "B")


@pytest.mark.parametrize(("words", "plan"), planning.MISTAKES)
def test_a_wrong_plan_is_named(words, plan):
    said = told(planning.pictures_needed, plan, "B")
    assert said.endswith(f"80% are wanted. {words}")
    few = all(plan(*pilot) < 1 for pilot in planning._pilots())
    said = told(planning.pictures_needed, lambda *pilot: math.ceil(plan(*pilot)), "B")
    assert said.endswith(f"80% are wanted. {planning._FEW if few else words}")


def test_the_power_is_that_of_simulated_studies():
    generator = torch.Generator().manual_seed(0)
    for a, b, smallest in planning._pilots():
        count, spread = needed(a, b, smallest), (a - b).std()
        studies = smallest + spread * torch.randn(4000, count, generator=generator).double()
        low = studies.mean(1) - 1.96 * studies.std(1) / math.sqrt(count)
        found = (low > 0).double().mean().item()
        assert found == pytest.approx(planning._power(smallest, spread.item(), count), abs=0.03)


def test_a_network_of_ones_own(capsys):
    torch.manual_seed(0)
    layers = []
    for before, width in ((3, 12), (12, 24), (24, 48)):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                   nn.MaxPool2d(2)]  # fmt: skip
    model = class_maps.trained(nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 16, 10)))
    capsys.readouterr()
    similar, check = class_maps.class_similarity.truth, class_maps.class_sensitivity
    assert praised(capsys, check, similar, model, "FullGrad")
    assert "another method of the three has more" in told(check, similar, model, "G*I")
    signed = lambda method, m, x, s, t: metrics.rank_correlation(  # noqa: E731
        method(m, x, s), method(m, x, t)
    )
    assert "compare the sizes" in told(check, signed, model, "FullGrad")
    assert "another method" not in told(check, lambda *a: torch.ones(2), model, "FullGrad")
    assert "train another one" in told(check, similar, lambda x: torch.eye(10)[[0] * len(x)], "DGA")
    assert "least must be one of" in told(check, similar, model, None)
    assert "must turn" in told(class_maps.trained, nn.Linear(3, 10))
