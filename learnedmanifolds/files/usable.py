"""Whether what was read can be used."""

from __future__ import annotations

import torch

from learnedmanifolds.atlas.atlas import Atlas

# Points at which each chart is tried, from corner to corner of its box.
_N_TRIED = 5
# Points that are tried in all charts, and pairs of a point and a chart that are held at a time.
_IN_ALL, _PAIRS = 64, 1024


def require_usable(atlas: Atlas) -> None:
    """`ValueError` if the charts overflow at points along the diagonals of their boxes."""
    if atlas.dtype.itemsize < 4:
        # Half precision is for files: processors do not compute in it.
        atlas = atlas.to(torch.float32)
    line = torch.linspace(-1, 1, _N_TRIED, dtype=atlas.dtype).view(-1, 1)
    with torch.no_grad():
        points = atlas.charts.decode(line.expand(atlas.n_charts, -1, atlas.dim)).flatten(0, 1)
        finite = bool(points.isfinite().all())
        if finite:
            some = points[:: -(-len(points) // _IN_ALL)].unflatten(-1, atlas.ambient_shape)
            for part in some.split(max(1, _PAIRS // atlas.n_charts)):
                finite &= bool(atlas.responsibilities(part).isfinite().all())
                finite &= bool(atlas.charts.encode(part.flatten(1)).isfinite().all())
    if not finite:
        raise ValueError("its charts must decode finite points and encode them, got others.")
