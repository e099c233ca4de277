"""The figure of assignment 3: scores that go down and up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from dga.lessons import plots

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7f7f7f")


def scores_by_rule(scores: Mapping[str, Sequence[float]], picture: str) -> None:
    """The score of a picture at every step, for each rule that makes the mask.

    Args:
        scores: name of the rule -> score at every step.
        picture: what the score is of.

    Example:
        >>> scores_by_rule({"both masks": [3.0, 1.0, 2.5]}, "cat")
        Score of the cat against the step, for: both masks 3.0, 1.0, 2.5.
    """
    figure = Figure(figsize=(7, 3.2), layout="constrained", dpi=100)
    axes = figure.subplots()
    for (name, values), colour in zip(scores.items(), _COLOURS, strict=False):
        axes.plot(values, "o-", color=colour, label=name)
    axes.set(xlabel="step n", ylabel=f"score of {picture}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    said = "; ".join(f"{n} {', '.join(f'{v:.1f}' for v in vs)}" for n, vs in scores.items())
    plots.show(figure, f"Score of the {picture} against the step, for: {said}.")
