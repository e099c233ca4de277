"""Tasks that ask for judgement: good answers pass, wrong but plausible ones are told why."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torchvision.transforms.functional import gaussian_blur

import dga
from dga import controls
from dga.lessons.checks import (
    accused,
    baselines,
    blind,
    class_maps,
    examples,
    judgement,
    ledgers,
    planning,
    tables,
    zigzag,
)
from dga.lessons.checks.task import Wrong

WHO = {"A": "batch", "B": "softmax", "C": "neighbours", "D": "right", "E": "class"}
VERDICTS = {"IG": baselines.ig_report, "Table 1": tables.table_1}


def told(check, *answer):
    with pytest.raises(Wrong) as caught:
        check(*answer)
    return str(caught.value)


def praised(capsys, check, *answer):
    check(*answer)
    return capsys.readouterr().out.startswith("Right.")


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
            assert told(accused.line_up, {**WHO, letter: word}).startswith(f"suspect {letter}: ")
    model, x, target = suspects_case()
    maps = {k: f(model, x, target) for k, f in accused.suspects().items()}
    right = dga.gradient(model, x, target)
    assert [k for k, a in maps.items() if torch.allclose(a, right)] == ["D"]


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


def test_a_sum_proves_nothing(capsys):
    assert praised(capsys, ledgers.empty_proof, evenly, "B")
    assert "your own map passes" in told(ledgers.empty_proof, evenly, "A")
    assert "one letter" in told(ledgers.empty_proof, evenly, None)
    for answer, words in (
        (dga.uniform_fullgrad, "Uniform FullGrad itself"),
        (dga.gradient_times_input, "misses the score"),
        (half, "still knows something"),
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


def test_counting_and_quantiles(capsys):
    assert praised(capsys, zigzag.counterexample, [0, 0, 0, 5], 0.5, "B")
    assert praised(capsys, zigzag.counterexample, torch.arange(1.0, 7), 0.4, "b")
    assert "interpolated quantile" in told(zigzag.counterexample, [0, 0, 0, 5], 0.5, "A")
    assert "both keep the features [3, 4]" in told(zigzag.counterexample, [1, 2, 3, 4], 0.5, "B")
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


def test_rules_that_stop_the_zigzag(capsys):
    for rule in (
        lambda n, N, w, e, p: both(n, N, w, e) * (p > 0),
        lambda n, N, w, e, p: 0.8 * p + 0.2 * both(n, N, w, e),
    ):
        assert praised(capsys, zigzag.steady_rule, rule, "B")
    assert "100% of the paper's" in told(zigzag.steady_rule, zigzag.paper, "B")
    for rule, words in (
        (lambda n, N, w, e, p: n / N * w, "EPC must have a say"),
        (lambda n, N, w, e, p: 1 - 0.1 * (1 - e), "EPC must have a say"),
        (lambda n, N, w, e, p: w + e, "leaves 0 .. 1"),
        (lambda n, N, w, e, p: w[0], "shape"),
        (lambda n, N, w, e, p: None, "nothing yet"),
    ):
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
        assert "there are 1 more" in told(tables.roar_table, "ACDFH".replace(letter, ""), error)
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
        (lambda a, b, s: (2.8 / s) ** 2 * (a.var() + b.var()), "saw the same pictures"),
        (lambda a, b, s: (1.96 * (a - b).std() / s) ** 2, "every other study"),
        (lambda a, b, s: 2.8 * (a - b).std() / s, "square something"),
        (lambda a, b, s: 10**6, "in a simulation"),
        (lambda a, b, s: 0, "gives 0 pictures"),
        (lambda a, b, s: None, "nothing yet"),
    ):
        assert words in told(planning.pictures_needed, answer, "B")


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
    assert "another method" not in told(check, lambda *a: torch.ones(2), model, "FullGrad")
    assert "train another one" in told(check, similar, lambda x: torch.eye(10)[[0] * len(x)], "DGA")
    assert "least must be one of" in told(check, similar, model, None)
    assert "must turn" in told(class_maps.trained, nn.Linear(3, 10))
