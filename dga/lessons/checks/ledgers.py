"""A map that adds up and knows nothing, and an account of biases with two wrong lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import dga
from dga.lessons.checks.judgement import reason
from dga.lessons.checks.task import Wrong, _run

_WHY = {
    "A": "your own map passes that on every picture",
    "C": "your own map misses the score by rounding only: no tolerance finds it",
}


@cache
def _case() -> tuple[nn.Module, Tensor, Tensor, Tensor, Tensor]:
    """A network, two pictures, classes that are second best, their scores and their maps."""
    model = dga.load_model("resnet").double()
    x = model.preprocess(dga.load_images("figures", 2).images).double()
    with torch.no_grad():
        target = model(x).argsort(1)[:, -2]
        wanted = model(x).gather(1, target[:, None])[:, 0]
    return model, x, target, wanted, dga.uniform_fullgrad(model, x, target)


def empty_proof(answer: Callable[..., Any], test: str) -> None:
    """Whether a map adds up to the score and has nothing to do with Uniform FullGrad.

    Args:
        answer: the learner's f(model, x, target) -> attribution.
        test: the letter of the test that would find it out.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> empty_proof(lambda model, x, target: dga.uniform_fullgrad(model, x, target), "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: this is Uniform FullGrad itself: nothing to find out
    """
    if not callable(answer):
        raise Wrong("a function is needed, f(model, x, target)")
    model, x, target, wanted, right = _case()
    a = _run(answer, (model, x, target))
    if a is None:
        raise Wrong("f(model, x, target) returns nothing yet")
    if not isinstance(a, Tensor) or a.shape != x.shape:
        raise Wrong(f"f(model, x, target) must return a tensor of shape {tuple(x.shape)}")
    a = a.detach().double()
    if not a.isfinite().all():
        raise Wrong("the map holds values that are not finite")
    off = (a.flatten(1).sum(1) - wanted).abs().max().item()
    if off > 1e-6:
        raise Wrong(
            f"it misses the score of `target` by {off:.2g}: share out what is missing, picture by "
            "picture"
        )
    alike, sizes = _alike(a, right), _alike(a.abs(), right.abs())
    if alike > 0.99:
        raise Wrong("this is Uniform FullGrad itself: nothing to find out")
    if alike < -0.1:
        raise Wrong(
            f"its correlation with Uniform FullGrad is {alike:.2f}, and must lie between -0.1 and "
            "0.1: a map turned round knows as much"
        )
    if alike > 0.1:
        raise Wrong(
            f"its correlation with Uniform FullGrad is {alike:.2f}, and must lie between -0.1 and "
            "0.1: it still knows something about the network"
        )
    if abs(sizes) > 0.1:
        raise Wrong(
            f"signs left aside, its correlation with Uniform FullGrad is {sizes:.2f}, and must lie "
            "between -0.1 and 0.1: it still knows where that is large"
        )
    reason(test, "B", _WHY)
    print("Right.")


def _alike(a: Tensor, b: Tensor) -> float:
    """The correlation of two maps, of the picture where it is strongest; 0 where there is none."""
    pairs = [torch.stack(pair).flatten(1) for pair in zip(a, b, strict=True)]
    found = [torch.corrcoef(pair)[0, 1].item() for pair in pairs if pair[0].std() > 1e-12]
    return max(found, key=abs, default=0.0)


_FAULTS = {"5.bn2": "twice", "4.shortcut.1": "mean"}
_WORDS = {"missing": 0.0, "sign": -1.0, "twice": 2.0, "mean": None}


def ledger(model: nn.Module, x: Tensor, target: Tensor) -> dict[str, float]:
    """A colleague's account: from the layer to what its biases put into the score.

    Args:
        model: the network `resnet`.
        x: one picture, (1, 3, 64, 64).
        target: its class, (1,).

    Example:
        >>> model = dga.load_model("resnet").double()
        >>> x = model.preprocess(dga.load_images("figures", 1).images).double()
        >>> len(ledger(model, x, model(x).argmax(1)))
        15
    """
    terms = dga.bias_attributions(model, x, target)
    sums = {name: term.sum().item() for name, term in terms.items()}
    for name, fault in _FAULTS.items():
        if fault == "twice":
            sums[name] *= 2
        else:  # the layer's own bias alone, without what its running mean puts in
            layer: Any = model.get_submodule(name)
            whole = layer.bias - layer.running_mean * layer.weight / (
                layer.running_var + layer.eps
            ).sqrt()  # fmt: skip
            part = terms[name] * (layer.bias / whole).detach()[:, None, None]
            sums[name] = part.sum().item()
    return sums


def audit(answer: Any) -> None:
    """Whether the wrong lines of the ledger are found, and what is wrong with each.

    Args:
        answer: from the layer to one of missing, sign, twice, mean.

    Raises:
        Wrong: with where to look.

    Example:
        >>> audit({})
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: the ledger does not add up, so at least one line is wrong
    """
    if not isinstance(answer, Mapping):
        raise Wrong("a dictionary is needed, from the name of a layer to what is wrong with it")
    if not answer:
        raise Wrong("the ledger does not add up, so at least one line is wrong")
    for name, word in answer.items():
        if word not in _WORDS:
            raise Wrong(f"{name!r} needs one of {', '.join(_WORDS)}, not {word!r}")
        if name not in _FAULTS:
            raise Wrong(f"line {name!r} agrees with dga.bias_attributions, if it is there at all")
        if word != _FAULTS[name]:
            factor = _WORDS[word]
            raise Wrong(
                f"line {name!r}: divide it by the right amount. "
                + (f"For {word!r} the quotient would be {factor:g}" if factor is not None
                   else "If the running mean were forgotten, would it be so round a number?")
            )  # fmt: skip
    if len(answer) < len(_FAULTS):
        raise Wrong("correct that, and the ledger still does not add up")
    print("Right.")
