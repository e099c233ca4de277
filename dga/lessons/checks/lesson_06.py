"""Checks of the exercises of lesson 06: a map that sees no network, and LeRF out of MoRF."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import dga
from dga.controls import CONTROLS
from dga.lessons.checks.blindfold import no_network
from dga.lessons.checks.task import EMPTY, Wrong, complaint
from dga.methods import METHODS

PHOTOGRAPHS = ("chelsea", "coffee", "rocket")
_TIE = 0.01


def blind_map(answer: Callable[..., Any]) -> None:
    """Measures a map made of the picture alone beside one made of the network.

    Args:
        answer: the learner's f(x), of pictures (B, 3, H, W).

    Example:
        >>> blind_map(lambda x: None)
        Write the function, and run the cell again.
        >>> blind_map(lambda x: x[:, :1])
        Not yet: return a tensor of the shape of x, (3, 3, 224, 224).
    """
    model, x, target = _photographs()
    try:
        with no_network():
            a = answer(x.clone())
    except Wrong as told:
        print(f"Not yet: {told}.")
        return
    if wrong := complaint(a, x):
        print(wrong)
        return
    mine = dga.pixel_perturbation(model, x, a.detach().to(x), target, "lerf").mean(1)
    rows = {"yours": mine, "IG": _lerf("ig"), "centre blob": _lerf("centre"), "DGA": _lerf("dga")}
    print(f"{'LeRF':12}" + "".join(f"{name:>10}" for name in PHOTOGRAPHS))
    for name, values in rows.items():
        print(f"{name:12}" + "".join(f"{float(v):10.2f}" for v in values))
    ahead, beyond = (int((mine > rows[name] + _TIE).sum()) for name in ("IG", "centre blob"))
    verdict = "Right" if ahead == len(x) and beyond > 1 else "Not yet"
    print(f"{verdict}: without a network it beats IG on {ahead} of {len(x)} photographs, "
          f"the blob on {beyond}.")  # fmt: skip


def lerf_of_morf(answer: Callable[..., Any]) -> None:
    """Says whether this makes LeRF out of MoRF, or which mistake it is.

    Args:
        answer: the learner's f(morf, a); morf(a) is the MoRF score of an attribution, (B,).

    Example:
        >>> lerf_of_morf(lambda morf, a: 1 - morf(a))
        Not yet: 1 - MoRF is no LeRF; other pixels have to go first.
        >>> lerf_of_morf(lambda morf, a: morf(-a))  # doctest: +ELLIPSIS
        Right. ...
    """
    model = dga.load_model("resnet").double()
    x = model.preprocess(dga.load_images("figures", 4).images).double()
    target = model(x).argmax(1)
    a = dga.gradient_times_input(model, x, target)

    def morf(given: Tensor) -> Tensor:
        return dga.pixel_perturbation(model, x, given, target, "morf").mean(1)

    got = answer(morf, a)
    if got is None:
        print(EMPTY)
        return
    if getattr(got, "shape", None) != (len(x),):
        print("Not yet: return one score a picture, as morf does.")
        return
    wrong = {
        "that is MoRF; nothing is turned round.": morf(a),
        "1 - MoRF is no LeRF; other pixels have to go first.": 1 - morf(a),
        "without signs what speaks against the class counts as relevant.": morf(-a.abs()),
        "that is MoRF without signs.": morf(a.abs()),
    }
    for words, value in wrong.items():
        if torch.allclose(got.to(value), value):
            print(f"Not yet: {words}")
            return
    truth = dga.pixel_perturbation(model, x, a, target, "lerf").mean(1)
    if not torch.allclose(got.to(truth), truth):
        print("Not yet: neither LeRF nor one of the usual mistakes.")
        return
    print("Right. Least relevant first is most relevant first of the map turned upside down.")


@cache
def _photographs() -> tuple[Any, Tensor, Tensor]:
    """Network, pictures (3, 3, 224, 224), and the classes it names."""
    model: Any = dga.load_model("efficientnet_lite0")
    x = torch.cat([model.preprocess(dga.load_photo(name)) for name in PHOTOGRAPHS])
    with torch.no_grad():
        return model, x, model(x).argmax(1)


@cache
def _lerf(method: str) -> Tensor:
    model, x, target = _photographs()
    function = {**METHODS, **CONTROLS}[method].function
    a = torch.cat([function(model, x[k : k + 1], target[k : k + 1]) for k in range(len(x))])
    return dga.pixel_perturbation(model, x, a, target, "lerf").mean(1)
