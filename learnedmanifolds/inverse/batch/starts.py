"""Starts that the caller gives, for all problems or for each."""

from __future__ import annotations

import torch

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.geometry import Located


def given_starts(atlas: Atlas, n_problems: int, points: ArrayLike | Located) -> Located:
    """Starts, charts (N, S) and coordinates (N, S, d), from those for all problems or for each.

    Parameters
    ----------
    atlas : Atlas
    n_problems : int
        N.
    points : array, shape (S, *ambient_shape) or (N, S, *ambient_shape), or Located
        Of charts (S,) or (N, S) and coordinates (S, d) or (N, S, d).
    """
    name = "initial_points"
    if isinstance(points, Located):
        coords = as_tensor(points.coords, f"{name}.coords", dtype=torch.float64, allow_empty=False)
        _require_leading(coords.shape, (atlas.dim,), n_problems, f"{name}.coords")
        chart = as_tensor(points.chart, f"{name}.chart", dtype=torch.int64, shape=coords.shape[:-1])
        if float(coords.abs().max()) > 1:
            raise ValueError(
                f"{name}.coords must be in the charts' boxes [-1, 1], got values up to "
                f"{float(coords.abs().max()):g}."
            )
        if not 0 <= int(chart.min()) <= int(chart.max()) < atlas.n_charts:
            raise ValueError(
                f"{name}.chart must be in 0..{atlas.n_charts - 1}, got values from "
                f"{int(chart.min())} to {int(chart.max())}."
            )
        chart, coords = chart.detach().to(atlas.device), coords.detach().to(atlas.device)
    else:
        x = as_tensor(points, name, allow_empty=False).detach().to(torch.float64)
        _require_leading(x.shape, atlas.ambient_shape, n_problems, name)
        leading = x.shape[: x.ndim - len(atlas.ambient_shape)]
        found = atlas.find(x.reshape(-1, *atlas.ambient_shape), name)
        chart, coords = found.chart.view(leading), found.coords.view(*leading, atlas.dim)
    if chart.ndim == 1:
        chart, coords = chart.expand(n_problems, -1), coords.expand(n_problems, -1, -1)
    return Located(chart, coords)


def _require_leading(
    shape: tuple[int, ...], last: tuple[int, ...], n_problems: int, name: str
) -> None:
    leading = shape[: len(shape) - len(last)]
    fits = len(leading) == 1 or (len(leading) == 2 and leading[0] == n_problems)
    if not (fits and shape[len(leading) :] == last):
        inner = ", ".join(map(str, last))
        raise ValueError(
            f"{name} must have shape (S, {inner}) for the same starts in every problem or "
            f"({n_problems}, S, {inner}), got {tuple(shape)}."
        )
