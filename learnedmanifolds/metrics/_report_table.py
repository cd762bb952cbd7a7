"""A table of measures of one model, and its figure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

# Smaller numbers are written with an exponent.
_SMALL = 1e-4

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True)
class Measure:
    """One measure of a model, and the same of data.

    Attributes
    ----------
    name : str
    value, error : float
        Mean over the draws, and its standard error; NaN for a single draw.
    floor, floor_error : float or None
        The same with other data in the place of the samples: what a perfect model would have. None
        where it has no meaning for data.
    ideal : float or None
        The value of a perfect model of infinitely many points, where it is known.
    unit : str
        "1" for numbers without unit.
    """

    name: str
    value: float
    error: float
    floor: float | None
    floor_error: float | None
    ideal: float | None
    unit: str

    @property
    def label(self) -> str:
        """Name and unit."""
        return self.name if self.unit == "1" else f"{self.name} ({self.unit})"


@dataclass(frozen=True, repr=False)
class Report:
    """Measures of a model, see `learnedmanifolds.metrics.report`.

    Attributes
    ----------
    model : str
        Class of the model.
    measures : tuple of Measure
    n_points : int
        Samples, and data, that each draw compares.
    n_gromov, n_betti : int
        The same for Gromov-Wasserstein and for the Betti numbers.
    n_repeats : int
        Draws.
    """

    model: str
    measures: tuple[Measure, ...]
    n_points: int
    n_gromov: int
    n_betti: int
    n_repeats: int

    def __getitem__(self, name: str) -> Measure:
        for measure in self.measures:
            if measure.name == name:
                return measure
        known = ", ".join(repr(m.name) for m in self.measures)
        raise KeyError(f"no measure {name!r}; there are {known}")

    def __repr__(self) -> str:
        return (
            f"Report({self.model}, {len(self.measures)} measures, n_points={self.n_points}, "
            f"n_repeats={self.n_repeats})"
        )

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a measure: value, error, floor, floor_error, ideal, unit."""
        import pandas

        rows = [asdict(m) for m in self.measures]
        frame = pandas.DataFrame(rows).set_index("name")
        numbers = ["value", "error", "floor", "floor_error", "ideal"]
        frame[numbers] = frame[numbers].astype(float)
        return frame

    @property
    def _caption(self) -> str:
        return (
            f"Mean and standard error of {self.n_repeats} draws of {self.n_points} samples against "
            f"{self.n_points} data ({self.n_gromov} for Gromov-Wasserstein, {self.n_betti} for Betti "
            f"numbers); data: other data in the place of the samples."
        )

    def __rich__(self) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, caption=self._caption)
        table.add_column("")
        for heading in (self.model, "data", "ideal"):
            table.add_column(heading, justify="right", no_wrap=True)
        for m in self.measures:
            floor = "-" if m.floor is None else _with_error(m.floor, m.floor_error)
            ideal = "-" if m.ideal is None else f"{m.ideal:g}"
            table.add_row(m.label, _with_error(m.value, m.error), floor, ideal)
        return table

    def print(self) -> None:
        """Print the table to the terminal."""
        from rich.console import Console

        Console().print(self)

    def plot(self) -> Figure:
        """Each measure on its own scale: the model, the data (grey band) and the ideal (line).

        Bars and bands are two standard errors to both sides.
        """
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        count = len(self.measures)
        figure = Figure(figsize=(6.5, 0.7 + 0.44 * count), layout="constrained")
        for axes, m in zip(
            figure.subplots(count, 1, squeeze=False).flat, self.measures, strict=True
        ):
            _draw(axes, m)
        figure.legend(
            handles=[
                Line2D([], [], marker="o", color="C0", label=self.model),
                Patch(color="0.8", label="data"),
                Line2D([], [], color="C2", linestyle="--", label="ideal"),
            ],
            loc="outside upper center",
            ncols=3,
            frameon=False,
        )
        figure.supxlabel(
            f"Bars and bands: two standard errors, of {self.n_repeats} draws of {self.n_points} points.",
            fontsize=7,
        )
        return figure


def _draw(axes: Any, m: Measure) -> None:
    if not math.isfinite(m.value):
        axes.text(0.5, 0.5, f"{m.value:g}", ha="center", va="center", transform=axes.transAxes)
        axes.set_xticks([])
    else:
        error = m.error if math.isfinite(m.error) else 0.0
        band: tuple[float, ...] = ()
        axes.errorbar(m.value, 0, xerr=2 * error, fmt="o", color="C0", capsize=3, zorder=3)
        if m.floor is not None and math.isfinite(m.floor):
            spread = m.floor_error if m.floor_error and math.isfinite(m.floor_error) else 0.0
            band = (m.floor - 2 * spread, m.floor + 2 * spread)
            axes.axvspan(*band, color="0.8", linewidth=5, zorder=1)
        if m.ideal is not None:
            axes.axvline(m.ideal, color="C2", linestyle="--", linewidth=1, zorder=2)
        shown = [m.value - 2 * error, m.value + 2 * error]
        shown += [end for end in (m.ideal, *band) if end is not None]
        low, high = min(shown), max(shown)
        margin = 0.08 * (high - low) if high > low else 1.0
        axes.set_xlim(low - margin, high + margin)
        axes.locator_params(axis="x", nbins=5)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, length=2, pad=1)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.set_ylabel(m.label.replace(" (", "\n("), rotation=0, ha="right", va="center", fontsize=8)


def _with_error(value: float, error: float | None) -> str:
    """Both to the place of the error's first digit, to its second one where the first is 1.

    But to four digits of the larger of both at most, as an error may be no more than rounding.
    """
    if not math.isfinite(value):
        return f"{value:g}"
    if error is None or not math.isfinite(error):
        return f"{value:.4g}"
    if error == 0:
        return f"{value:.4g} +- 0"
    size = max(abs(value), error)
    if size < _SMALL:
        return f"{value:.1e} +- {error:.0e}"
    place = math.floor(math.log10(error))
    places = min(-place + (error < 2 * 10.0**place), 3 - math.floor(math.log10(size)))
    places = max(0, places)
    return f"{value:.{places}f} +- {error:.{places}f}"
