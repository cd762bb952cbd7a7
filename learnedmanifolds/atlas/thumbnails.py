"""Small pictures of points that are images, at the points or beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnedmanifolds._panels import grey, grey_limits

# Pixels a side: fewer are a matrix rather than a picture.
_PIXELS = 8
# Points, of the longer side and of the frame with its pad; how many at most, and are tried.
_SIZE, _FRAME, _MOST, _TRIED = 30.0, 3.0, 24, 150
# Distances of pictures from their points, in their size, and directions.
_AWAY, _DIRECTIONS = (0.85, 1.1, 1.4), 24
# Quantiles of the values drawn black and white.
_RANGE = (0.002, 0.998)
# Distance of pictures that stand on their points, in their size.
_APART = 1.25
# Share of the curve that a picture may hide.
_HIDDEN = 0.003


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether points of a shape are pictures, (H, W), (1, H, W) or (3, H, W), of 8 pixels or more."""
    return len(shape) in (2, 3) and min(shape[-2:]) >= _PIXELS and shape[:-2] in ((), (1,), (3,))


def on_page(axes: Any, points: np.ndarray) -> np.ndarray:
    """Where axes in the plane or in space show points (N, m), inches from the figure's corner, (N, 2)."""
    return np.asarray(axes.transData.transform(_flat(axes, points))) / axes.figure.dpi


def _flat(axes: Any, points: np.ndarray) -> np.ndarray:
    """Coordinates (N, 2) of the axes' plane, to which those in space project points (N, m)."""
    if points.shape[1] == 2:
        return points
    seen = np.concatenate([points, np.ones((len(points), 1))], 1) @ axes.get_proj().T
    return np.asarray(seen[:, :2] / seen[:, 3:])


def add_thumbnails(
    axes: Any, where: np.ndarray, images: np.ndarray, colors: np.ndarray, beside: bool
) -> None:
    """Draw some images (N, H, W) or (N, C, H, W), as many as fit side by side.

    Parameters
    ----------
    axes : matplotlib Axes
        In the plane or in space, laid out.
    where : ndarray, shape (N, m)
        The points.
    images : ndarray
    colors : ndarray, shape (N, 3)
        Of the frames.
    beside : bool
        Whether pictures stand beside their points, with a line to them, and leave all points free.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = axes.figure
    figure.draw_without_rendering()
    screen = 72 * on_page(axes, where)
    images = np.moveaxis(images, 1, -1) if images.ndim == 4 else images[..., None]
    # Single samples may be far brighter than all others.
    low, high = grey_limits(None, [np.quantile(images, _RANGE)])
    images = ((images - low) / (high - low)).clip(0, 1)
    height, width = images.shape[1:3]
    zoom = _SIZE / max(height, width)
    size = np.array([width, height]) * zoom + _FRAME
    line = {"arrowstyle": "-", "color": "0.3", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    # Pictures follow their points when the figure is saved with another frame.
    flat = _flat(axes, where)
    page = figure.get_size_inches() * 72
    for i, center in _places(screen, size, _taken(figure), page, beside):
        picture = images[i, ..., 0] if images.shape[-1] == 1 else images[i]
        shown = OffsetImage(picture, zoom=zoom, cmap=grey(), clim=(0, 1), interpolation="nearest")
        box = AnnotationBbox(
            shown,
            tuple(flat[i]),
            xybox=tuple(center - screen[i]),
            xycoords="data",
            annotation_clip=False,
            boxcoords="offset points",
            pad=0.1,
            bboxprops={"edgecolor": colors[i], "linewidth": 1.2},
            arrowprops=line if beside else None,
            zorder=6,
        )
        box.set_in_layout(False)
        axes.add_artist(box)


def _taken(figure: Any) -> np.ndarray:
    """Left, bottom, right and top of all text and of the legend, points, (M, 4)."""
    from matplotlib.text import Text

    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    boxes = [part.get_window_extent().extents for part in [*texts, *figure.legends]]
    return np.array(boxes).reshape(-1, 4) * 72 / figure.dpi


def _places(
    screen: np.ndarray, size: np.ndarray, taken: np.ndarray, page: np.ndarray, beside: bool
) -> list[tuple[int, np.ndarray]]:
    """Points to show, from far apart to near, and the middles of their pictures; none overlap."""
    angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * size
    shifts = np.concatenate([away * ring for away in _AWAY]) if beside else np.zeros((1, 2))
    reach = size / 2 if beside else (_APART - 0.5) * size
    placed: list[tuple[int, np.ndarray]] = []
    for i in _spread(screen):
        centers = screen[i] + shifts
        low, high = centers - size / 2 - 1, centers + size / 2 + 1
        free = (low >= 2).all(-1) & (high <= page - 2).all(-1)
        others = [np.concatenate([c - reach, c + reach]) for _, c in placed]
        for box in [*taken, *others]:
            free &= (high < box[:2]).any(-1) | (low > box[2:]).any(-1)
        hidden = np.zeros(len(centers))
        if beside:
            gaps = np.abs(screen - centers[:, None])
            hidden = (gaps < size / 2 + 2).all(-1).mean(-1)
        # The first of the best is the nearest.
        best = int(np.where(free, hidden, np.inf).argmin())
        if free[best] and hidden[best] <= _HIDDEN:
            placed.append((i, centers[best]))
        if len(placed) == _MOST:
            break
    return placed


def _spread(points: np.ndarray) -> list[int]:
    """Indices of points (N, 2), each the farthest from those before."""
    chosen = [int(points[:, 0].argmin())]
    gap = np.full(len(points), np.inf)
    for _ in range(min(_TRIED, len(points)) - 1):
        gap = np.minimum(gap, np.linalg.norm(points - points[chosen[-1]], axis=-1))
        chosen.append(int(gap.argmax()))
    return chosen
