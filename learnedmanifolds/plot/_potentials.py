"""Potentials on the boundary of a body: what pictures of them check and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._panels import LINE, SMALL, TITLE

if TYPE_CHECKING:
    from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

# Currents whose potentials are drawn by default: more cannot be told apart in one panel.
FEW = 3


def positions(mesh: ImpedanceMesh, operator: ElectricalImpedance | None) -> np.ndarray:
    """Of the boundary vertices, or of the middles of the electrodes."""
    electrodes = None if operator is None else operator.electrodes
    if electrodes is None:
        return mesh.boundary_parameter
    return (np.asarray(electrodes.starts) + np.asarray(electrodes.lengths) / 2) % 1.0


def as_potentials(value: ArrayLike | None, name: str, size: int) -> np.ndarray | None:
    """Check potentials (P, size) of P currents."""
    if value is None:
        return None
    values = as_tensor(value, name, dtype=torch.float64, shape=(None, size), allow_empty=False)
    return values.detach().cpu().numpy()


def choose_currents(currents: Sequence[int] | None, given: Sequence[np.ndarray]) -> list[int]:
    """Check which of the currents of the given potentials are drawn."""
    counts = {len(values) for values in given}
    if len(counts) > 1:
        raise ValueError(
            f"potentials and data must be of the same currents, got {len(given[0])} and "
            f"{len(given[1])}."
        )
    count = max(counts, default=0)
    if currents is None:
        return list(range(min(FEW, count)))
    if isinstance(currents, str) or not isinstance(currents, (Sequence, np.ndarray)):
        raise TypeError(f"currents must be a sequence of integers, got {type(currents).__name__}.")
    chosen = [integer(index, "currents", minimum=0) for index in currents]
    if not chosen or max(chosen) >= count or len(set(chosen)) < len(chosen):
        raise ValueError(f"currents must be different numbers below {count}, got {chosen}.")
    return chosen


def draw_potentials(
    axis: Any,
    abscissa: np.ndarray,
    lines: np.ndarray | None,
    dots: np.ndarray | None,
    chosen: Sequence[int],
) -> None:
    """Draw predictions as lines and data as dots, both (P, M), in a colour for each current."""
    from matplotlib.lines import Line2D

    from learnedmanifolds.inverse.figures import COLORS

    order = np.argsort(abscissa)
    handles = []
    for i, current in enumerate(chosen):
        color = COLORS[i % len(COLORS)]
        if dots is not None:
            axis.plot(abscissa[order], dots[current, order], ".", color=color, ms=3.5, mew=0)
        if lines is not None:
            axis.plot(abscissa[order], lines[current, order], color=color, linewidth=0.8)
        label = f"current {current}" if i == 0 else str(current)
        handles.append(Line2D([], [], color=color, linewidth=2, label=label))
    if dots is not None:
        handles.append(Line2D([], [], color="0.3", ls="", marker=".", ms=4, label="data"))
    if lines is not None:
        handles.append(Line2D([], [], color="0.3", linewidth=0.8, label="prediction"))
    axis.set(xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1])
    axis.locator_params(axis="y", nbins=6)
    axis.set_xlabel("boundary parameter", fontsize=TITLE)
    axis.set_ylabel("potential (V)", fontsize=TITLE)
    axis.tick_params(labelsize=SMALL, width=LINE, length=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[:].set_linewidth(LINE)
    axis.grid(True, color="0.92", linewidth=LINE)
    axis.legend(
        handles=handles,
        fontsize=SMALL,
        frameon=False,
        ncols=len(handles),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        handlelength=1.2,
        columnspacing=1.0,
        borderaxespad=0.2,
    )
