"""Checks of the exercises of lesson 08: a proof by painting over, and a map that passes for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import dga
from dga import metrics
from dga.lessons.checks.task import complaint

UMBRELLA = 9


def painted_over(answer: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Says what the network names when the mark is gone, or what else has gone with it.

    Args:
        answer: the learner's f(x, behind, mark): pictures (B, C, H, W), the same without object
            and mark, and bool (B, H, W).

    Example:
        >>> painted_over(lambda x, behind, mark: None)
        Write the function, and run the cell again.
        >>> painted_over(lambda x, behind, mark: behind)
        Not yet: the object is gone too. Only the pixels of the mark may change.
    """
    model = dga.load_model("clever-hans")
    sent = dga.load_images("watermark", 10)
    assert sent.without is not None and sent.watermarks is not None
    x, behind = model.preprocess(sent.images), model.preprocess(sent.without)
    mark = sent.watermarks
    mine = answer(x.clone(), behind.clone(), mark.clone())
    if wrong := complaint(mine, x):
        print(wrong)
    elif (mine != x).any(1)[sent.masks & ~mark].any():
        print("Not yet: the object is gone too. Only the pixels of the mark may change.")
    elif (mine != x).any(1)[~mark].any():
        print("Not yet: pixels beside the mark have changed.")
    elif not torch.equal(mine, torch.where(mark[:, None], behind, x)):
        print("Not yet: on the mark there should be what was behind it.")
    else:
        with torch.no_grad():
            said = [model(z).softmax(1) for z in (x, mine)]
        right = [int((p.argmax(1) == sent.labels).sum()) for p in said]
        print(
            f"Right. Umbrella falls from {said[0][:, UMBRELLA].mean():.2f} to "
            f"{said[1][:, UMBRELLA].mean():.2f}; right answers rise from {right[0]} to {right[1]} "
            "of 10. Nothing but the mark was changed."
        )


def impostor(answer: Callable[[nn.Module, Tensor, Tensor], Any]) -> None:
    """Puts a map through two sanity checks, then looks whether it knows where the object is.

    Args:
        answer: the learner's f(model, x, target), for pictures (B, C, H, W) and classes (B,).

    Example:
        >>> impostor(lambda model, x, target: None)
        Write the function, and run the cell again.
        >>> impostor(lambda model, x, target: x)  # doctest: +ELLIPSIS
        Not yet: the random network has the same map, or nearly...
    """
    model = dga.load_model("resnet")
    pair = dga.load_images("two", 6)
    assert pair.second_labels is not None and pair.second_masks is not None
    x = model.preprocess(pair.images)

    def asked(net: nn.Module, target: Tensor) -> Any:
        return answer(net, x.clone(), target.clone())

    def flaw(a: Any) -> str | None:
        if wrong := complaint(a, x):
            return wrong
        plain = bool((a.flatten(1).std(1) == 0).any())
        return "Not yet: a map needs values that are not all the same." if plain else None

    first = asked(model, pair.labels)
    if wrong := flaw(first):
        print(wrong)
        return
    if not torch.equal(first, asked(model, pair.labels)):
        print("Not yet: asked twice, it gives two maps. Randomness needs a seed.")
        return
    *_, (_, forgotten) = metrics.cascading_randomization(model)
    unlearned, second = asked(forgotten, pair.labels), asked(model, pair.second_labels)
    if wrong := flaw(unlearned) or flaw(second):
        print(wrong)
        return
    # Of either sign: a random network may well turn all of them.
    alike = float(metrics.rank_correlation(unlearned, first).abs().mean())
    if alike > 0.2:
        print(
            f"Not yet: the random network has the same map, or nearly, or that map with other "
            f"signs (rank correlation without its sign {alike:.2f}, at most 0.20 passes)."
        )
        return
    alike = float(metrics.rank_correlation(second, first).mean())
    if alike > 0.2:
        print(
            f"Not yet: it hardly hears which class is asked for (rank correlation {alike:.2f}, at "
            "most 0.20 passes)."
        )
        return
    both = pair.masks | pair.second_masks
    energy, chance = metrics.energy_inside(first, both).mean(), both.float().mean()
    if not chance / 1.2 < energy < 1.2 * chance:
        print(
            f"It passes, but it knows something: {energy:.2f} of it lies on the objects, which "
            f"cover {chance:.2f}. Can you do it without?"
        )
        return
    print(
        f"Passed, and it knows nothing: {energy:.2f} of it lies on the objects, which cover "
        f"{chance:.2f}. Sanity checks find some broken maps. They bless none."
    )
