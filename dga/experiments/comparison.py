"""Scores of many methods on the same pictures, compared in pairs, with corrected intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from torch import Tensor

from dga.metrics import bootstrap_interval
from dga.significance import Interval, holm_intervals

Measured = Mapping[tuple[str, str, str], Tensor]  # (method, fill, measure) -> (pictures,)
REFERENCE = "dga"  # what every other method is compared with

# From fewer pictures a bootstrap draws intervals that are far too narrow: where nothing differs, of
# five pictures 18 % of them exclude 0 instead of 5 %.
_FEWEST = 10

_COLUMNS = ("method", "fill", "measure", "mean", "low", "high",
            "dga_minus", "dga_minus_low", "dga_minus_high", "pictures")  # fmt: skip
_TITLES = {
    "lerf": "LeRF (higher is better)",
    "morf": "MoRF (lower is better)",
    "fine morf": "MoRF, 0 to 10 % (lower is better)",
    "high lerf": "LeRF, 90 to 99 % (higher is better)",
}


def compared(scores: Measured) -> str:
    """The table as CSV: mean and 95 % bootstrap interval, and DGA minus the method on the same.

    The intervals of the differences are corrected for all comparisons of the table
    (`dga.significance.holm_intervals`): a method differs from DGA if its interval excludes 0. With
    fewer than ten pictures nothing is compared.

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
    differences = _differences(scores)
    for key, values in scores.items():
        numbers = [f"{v:.6f}" for v in bootstrap_interval(values)]
        pairs = [f"{v:.6f}" for v in differences[key]] if key in differences else [""] * 3
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
    differences = _differences(scores)
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
                _, low, high = differences.get(key, (0.0, 0.0, 0.0))
                star = "*" if low > 0 or high < 0 else ""
                cells.append(
                    "{:.3f} [{:.3f}, {:.3f}]".format(*bootstrap_interval(scores[key])) + star
                )
            lines.append(f"| {labels.get(method, method)} | " + " | ".join(cells) + " |")
        title = f"Removed pixels filled in: {fill}\n\n" if len(fills) > 1 else ""
        blocks.append(title + "\n".join(lines))
    if differences:
        blocks.append(
            "Mean and 95 % bootstrap interval over pictures. *: differs from DGA on the same "
            "pictures (the interval of the differences excludes 0 after Holm's correction for "
            f"{len(differences)} comparisons)."
        )
    elif any(len(values) < _FEWEST for values in scores.values()):
        blocks.append(f"With fewer than {_FEWEST} pictures no method is compared with DGA.")
    return "\n\n".join(blocks)


def _differences(scores: Measured) -> dict[tuple[str, str, str], Interval]:
    """DGA minus every other method, where DGA is there and pictures are not too few."""
    keys = [
        key
        for key, values in scores.items()
        if key[0] != REFERENCE and (REFERENCE, *key[1:]) in scores and len(values) >= _FEWEST
    ]
    found = []
    for key in keys:
        mean, low, high = bootstrap_interval(scores[REFERENCE, key[1], key[2]] - scores[key])
        found.append((float(mean), float(low), float(high)))
    return dict(zip(keys, holm_intervals(found), strict=True))
