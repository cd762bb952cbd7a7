"""Tables of the quality of restored images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._convert import to_tensor

if TYPE_CHECKING:
    from rich.table import Table

# Decibels below which a restored image counts as a failure, by default.
THRESHOLD = 20.0


@dataclass(frozen=True, eq=False)
class PSNRTable:
    """Peak signal-to-noise ratios of several methods on several problems.

    Attributes
    ----------
    values : dict of str to ndarray
        Of each method, one ratio a problem, decibels.
    threshold : float
        Decibels.
    """

    values: dict[str, np.ndarray]
    threshold: float

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row for each method: count, mean, median, min, max, share_under.

        The last is the share of problems whose ratio is less than the threshold.
        """
        import pandas

        rows = [
            {
                "count": len(ratios),
                "mean": ratios.mean(),
                "median": np.median(ratios),
                "min": ratios.min(),
                "max": ratios.max(),
                "share_under": (ratios < self.threshold).mean(),
            }
            for ratios in self.values.values()
        ]
        return pandas.DataFrame(rows, index=pandas.Index(list(self.values), name="method"))

    def __rich__(self) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, caption="Peak signal-to-noise ratio in dB.")
        table.add_column("", no_wrap=True)
        for heading in ("problems", "mean", "median", "min", "max", f"under {self.threshold:g}"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, row in self.to_frame().iterrows():
            decibels = (f"{row[key]:.1f}" for key in ("mean", "median", "min", "max"))
            table.add_row(
                str(name), f"{row['count']:.0f}", *decibels, f"{100 * row['share_under']:.0f} %"
            )
        return table

    def print(self) -> None:
        """Print the table to the terminal."""
        from rich.console import Console

        Console().print(self)


def psnr_table(values: Mapping[str, ArrayLike], threshold: float = THRESHOLD) -> PSNRTable:
    """Summarise peak signal-to-noise ratios of several methods.

    Parameters
    ----------
    values : mapping of str to array, shape (N,)
        Decibels, one ratio for each problem, as `learnedmanifolds.metrics.psnr` gives them; infinite
        ones are accepted. The numbers of problems may differ.
    threshold : float
        Decibels; the share of problems below it is counted.

    Returns
    -------
    PSNRTable

    Raises
    ------
    TypeError, ValueError
        If there is no method, or its ratios are not a vector of at least one number, or hold NaN.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"values must map names to arrays, got {type(values).__name__}.")
    if not values:
        raise ValueError("values must hold at least one method, got none.")
    limit = float(as_tensor(threshold, "threshold", shape=()))
    return PSNRTable({str(name): _ratios(v, str(name)) for name, v in values.items()}, limit)


def _ratios(value: ArrayLike, name: str) -> np.ndarray:
    """A vector of numbers, plus infinity among them."""
    given = to_tensor(value, f"values[{name!r}]").detach().cpu()
    finite = given.masked_fill(given == np.inf, 0)
    as_tensor(finite, f"values[{name!r}]", shape=(None,), allow_empty=False)
    ratios = given.to(torch.float64).numpy().copy()
    ratios.setflags(write=False)
    return ratios
