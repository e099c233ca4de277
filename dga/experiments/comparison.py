"""Scores of many methods on the same pictures, compared in pairs: intervals and p-values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from torch import Tensor

from dga.metrics import bootstrap_interval
from dga.significance import holm, signed_rank_p

Measured = Mapping[tuple[str, str, str], Tensor]  # (method, fill, measure) -> (pictures,)
REFERENCE = "dga"  # what every other method is compared with

_COLUMNS = ("method", "fill", "measure", "mean", "low", "high",
            "dga_minus", "dga_minus_low", "dga_minus_high", "p_holm", "pictures")  # fmt: skip
_TITLES = {
    "lerf": "LeRF (higher is better)",
    "morf": "MoRF (lower is better)",
    "fine morf": "MoRF, 0 to 10 % (lower is better)",
    "high lerf": "LeRF, 90 to 99 % (higher is better)",
}


def compared(scores: Measured) -> str:
    """The table as CSV: mean and 95 % bootstrap interval, the same of DGA minus the method, and p.

    p is that of `signed_rank_p`, corrected by Holm over all comparisons of the table.

    Example:
        >>> import torch
        >>> x = torch.linspace(0, 1, 30)
        >>> table = compared({("gi", "mean", "lerf"): x, ("dga", "mean", "lerf"): x + 0.1})
        >>> table.splitlines()[1].split(",")[:4]
        ['gi', 'mean', 'lerf', '0.500000']
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    p_values = _corrected(scores)
    for key, values in scores.items():
        numbers = [f"{v:.6f}" for v in bootstrap_interval(values)]
        pairs = [""] * 4
        if key in p_values:
            pairs = [f"{v:.6f}" for v in bootstrap_interval(_differences(scores, key))]
            pairs.append(f"{p_values[key]:.3g}")
        writer.writerow([*key, *numbers, *pairs, len(values)])
    return text.getvalue()


def markdown(scores: Measured, labels: Mapping[str, str]) -> str:
    """The table for a reader, one for each fill; * marks methods that differ from DGA.

    Args:
        scores: see `Measured`.
        labels: of the methods.

    Example:
        >>> import torch
        >>> table = markdown({("gi", "mean", "lerf"): torch.ones(9)}, {"gi": "Gradient*Input"})
        >>> table.splitlines()[2]
        '| Gradient*Input | 1.000 [1.000, 1.000] |'
    """
    p_values = _corrected(scores)
    fills = list(dict.fromkeys(fill for _, fill, _ in scores))
    measures = list(dict.fromkeys(measure for *_, measure in scores))
    blocks = []
    for fill in fills:
        lines = [
            "| method | " + " | ".join(_TITLES.get(m, m) for m in measures) + " |",
            "|---" * (len(measures) + 1) + "|",
        ]
        for method in dict.fromkeys(method for method, *_ in scores):
            cells = []
            for measure in measures:
                key = (method, fill, measure)
                star = "*" if p_values.get(key, 1) < 0.05 else ""
                cells.append(
                    "{:.3f} [{:.3f}, {:.3f}]".format(*bootstrap_interval(scores[key])) + star
                )
            lines.append(f"| {labels.get(method, method)} | " + " | ".join(cells) + " |")
        title = f"Removed pixels filled in: {fill}\n\n" if len(fills) > 1 else ""
        blocks.append(title + "\n".join(lines))
    if p_values:
        blocks.append(
            "Mean and 95 % bootstrap interval over pictures. *: differs from DGA on the same "
            "pictures (Wilcoxon's signed-rank test, p < 0.05 after Holm's correction for "
            f"{len(p_values)} comparisons)."
        )
    return "\n\n".join(blocks)


def _differences(scores: Measured, key: tuple[str, str, str]) -> Tensor:
    return scores[REFERENCE, key[1], key[2]] - scores[key]


def _corrected(scores: Measured) -> dict[tuple[str, str, str], float]:
    """Corrected p-values of every method against DGA, where DGA is there."""
    keys = [key for key in scores if key[0] != REFERENCE and (REFERENCE, *key[1:]) in scores]
    return dict(
        zip(keys, holm([signed_rank_p(_differences(scores, k)) for k in keys]), strict=True)
    )
