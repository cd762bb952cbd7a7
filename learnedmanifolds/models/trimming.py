"""Cutting charts down to the part of their boxes that the cover needs."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas

RESERVE = 0.05
"""Depth, in coordinates of the trained boxes, at which trimmed charts hold every point."""

_STEP = 0.02
_STRIP = 0.1
_LEAST_WIDTH = 1.0
_ROUNDING = 1e-5


@torch.no_grad()
def trimmed_boxes(
    atlas: Atlas, x: Tensor, reserve: float = RESERVE, widest: float = 1.1
) -> tuple[Tensor, Tensor]:
    """Corners of the boxes to keep, (K, d) each: charts are least accurate near their borders.

    From the face whose outer strip disagrees most with the charts that hold its points most deeply,
    a face moves inward while its strip is empty or disagrees by more than half the noise somewhere
    (its root mean square in the normal directions),
    as long as every point that was held stays so: at a depth of ``reserve`` in some chart, or as
    deep as it was. At least half of a box's width is kept. A gap where charts meet, which none of
    them holds but at least two boxes of ``widest`` times the size do, is closed by widening one.

    Parameters
    ----------
    atlas : Atlas
    x : Tensor, shape (N, n)
        The data.
    reserve : float
        Depth in the coordinates of the given boxes.
    widest : float
        1 widens none.
    """
    coords = atlas.charts.encode(x)
    images = atlas.charts.decode(coords)
    close = (images - x).norm(dim=-1) <= atlas.tolerance
    low = torch.full_like(coords[:, 0], -widest)
    high = -low

    def depths(k: int | slice, low: Tensor, high: Tensor) -> Tensor:
        inside = torch.minimum(coords[k] - low.unsqueeze(-2), high.unsqueeze(-2) - coords[k])
        return torch.where(close[k], inside.amin(-1), -torch.inf)

    depth = depths(slice(None), low, high)
    shallow = depth - (widest - 1)
    gap = (shallow < 0).all(0) & ((depth >= 0).sum(0) >= 2)
    needed = torch.where(gap, depth.amax(0), shallow.amax(0)).clamp(max=reserve)
    held = needed >= 0
    needed -= _ROUNDING
    n_normal = max(1, x.shape[-1] - coords.shape[-1])
    enough = n_normal * (atlas.noise_std / 2) ** 2
    movable = torch.ones(*low.shape, 2, dtype=torch.bool, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    while bool(movable.any()):
        reference = images[depth.argmax(0), rows]
        square = (images - reference).square().sum(-1)
        holds = depth >= 0
        offsets = torch.stack([coords - low.unsqueeze(1), high.unsqueeze(1) - coords], dim=-1)
        strip = (offsets < _STRIP) & holds[:, :, None, None]
        count = strip.sum(1)
        off = torch.where(strip, square[:, :, None, None], 0.0).amax(1)
        beyond = torch.stack([low < -1 - _ROUNDING, high > 1 + _ROUNDING], dim=-1)
        off = torch.where((count == 0) | beyond, torch.inf, off)
        movable &= off > enough
        score = torch.where(movable, off, -1.0)
        k, i, side = (int(v) for v in torch.unravel_index(score.argmax(), score.shape))
        if not movable[k, i, side]:
            break
        new_low, new_high = low[k].clone(), high[k].clone()
        (new_high if side else new_low)[i] += -_STEP if side else _STEP
        new = depth.clone()
        new[k] = depths(k, new_low, new_high)
        if new_high[i] - new_low[i] < _LEAST_WIDTH or bool((new.amax(0) < needed)[held].any()):
            movable[k, i, side] = False
            continue
        low[k], high[k], depth = new_low, new_high, new
    return low, high
