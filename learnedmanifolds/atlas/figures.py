"""The picture of an atlas."""

from __future__ import annotations

import colorsys
import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import generator
from learnedmanifolds._panels import LINE, SMALL, TITLE, new_figure
from learnedmanifolds.atlas.mesh import Regions, mesh
from learnedmanifolds.atlas.thumbnails import add_thumbnails, is_image, on_page
from learnedmanifolds.geometry import InducedMetric, Located

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learnedmanifolds.atlas.atlas import Atlas

# Petroff, Accessible color sequences for data visualization, arXiv 2107.02270, 2021; without its greys.
_COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#5dac6a", "#e76300", "#92dadd", "#a96b59")
_INK = "0.12"
# Inches: the figure, its least and largest height but for text, what is kept free beside a box of
# space, title, a line of the legend.
_WIDTH, _HEIGHTS, _BESIDE, _TITLE, _LINE = 5.0, (1.5, 5.5), 0.45, 0.3, 0.16
# Of the plane around a curve, a share of its size.
_ROOM = 0.1
_COLUMNS, _MOST_IN_LEGEND = 10, 20
# Degrees above the first two axes, and around the third.
_VIEW = (28.0, -58.0)
_SAMPLES = 1500
# Samples that principal coordinates are of, and the least share of variance of a third one.
_FEW, _SHARE = 600, 0.03
# Geodesics: how many, points on each, length as a share of the manifold's half diagonal, dimensions.
_RAYS, _STEPS, _LENGTH, _DIMENSIONS = 6, 10, 0.8, (2, 3)
_GEODESIC_TOLERANCE = 1e-3
# Points: mean, least and largest width of a curve. What is near, a share of its length.
_WIDTHS, _NEAR = (3.0, 0.8, 9.0), 0.03


class View(NamedTuple):
    """An affine map of the ambient space to what is drawn, x -> (x - center) @ basis."""

    center: Tensor
    basis: Tensor
    labels: tuple[str, ...]

    def __call__(self, x: Tensor) -> np.ndarray:
        """Points (..., m) of points (..., n)."""
        return np.asarray((x.detach().cpu().double() - self.center) @ self.basis)


def view_of(x: Tensor) -> View:
    """Ambient coordinates of points (N, n) of up to three, else two or three principal coordinates."""
    n = x.shape[1]
    if n <= 3:
        labels = tuple(f"$x_{i + 1}$" for i in range(n))
        # A line is drawn in the plane.
        return View(x.new_zeros(n), torch.eye(n, max(2, n), dtype=x.dtype), labels)
    center = x.mean(0)
    _, sizes, rows = torch.linalg.svd((x - center)[:_FEW], full_matrices=False)
    share = sizes.square() / sizes.square().sum().clamp(min=torch.finfo(x.dtype).tiny)
    rows = rows[: 3 if share[2] > _SHARE else 2]
    # Singular vectors have no sign of their own.
    rows = rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    labels = tuple(
        f"principal coordinate {i + 1} ({100 * share[i]:.0f} %)" for i in range(len(rows))
    )
    return View(center, rows.mT.contiguous(), labels)


def colors(count: int) -> np.ndarray:
    """Distinct colours (count, 3), one a chart."""
    from matplotlib.colors import to_rgb

    if count <= len(_COLORS):
        return np.array([to_rgb(color) for color in _COLORS[:count]])
    # Steps of the golden ratio keep charts of near numbers apart.
    hues = [(0.58 + 0.618034 * k) % 1 for k in range(count)]
    return np.array(
        [colorsys.hls_to_rgb(h, (0.5, 0.64, 0.4)[k % 3], 0.6) for k, h in enumerate(hues)]
    )


class Scene(NamedTuple):
    """What is drawn, in the m coordinates of the view.

    Attributes
    ----------
    dim : int
        d.
    pieces : ndarray, shape (M, d + 1, m)
        See `Mesh`; none for d > 2.
    owner : ndarray, shape (M,)
        The chart of each.
    widths : ndarray, shape (M,)
        Of the pieces of a curve, points.
    border : ndarray, shape (B, d, m), or points (B, 1, m) on it for d = 3
    dots : ndarray, shape (N, m)
        Samples, or data.
    dot_owner : ndarray, shape (N,)
    paths : ndarray, shape (R, T, m)
        Geodesics from one point.
    shades : ndarray, shape (K, 3)
        Colours of the charts.
    labels : tuple of str
        Of the axes.
    given : bool
        Whether dots are data.
    """

    dim: int
    pieces: np.ndarray
    owner: np.ndarray
    widths: np.ndarray
    border: np.ndarray
    dots: np.ndarray
    dot_owner: np.ndarray
    paths: np.ndarray
    shades: np.ndarray
    labels: tuple[str, ...]
    given: bool


@torch.no_grad()
def draw(atlas: Atlas, x: Tensor | None, seed: int | None) -> Figure:
    """Charts, density, border, geodesics and, of images, thumbnails; see `Atlas.plot`.

    Parameters
    ----------
    atlas : Atlas
    x : Tensor, shape (N, n), optional
        Data in place of samples.
    seed : int, optional
    """
    samples = atlas.sample_coords(_SAMPLES, seed)
    made = atlas.decode(samples.coords, samples.chart).flatten(1)
    dots, located = made, samples
    if x is not None:
        dots = x[torch.randperm(len(x), generator=generator(seed))[:_SAMPLES].to(x.device)]
        located = atlas.locate(dots.unflatten(1, atlas.ambient_shape))
    regions = Regions(atlas)
    parts = mesh(regions)
    dot_owner = regions.owner(dots, located.chart)
    view = view_of(made.cpu().double())
    scene = Scene(
        dim=atlas.dim,
        pieces=view(parts.simplices),
        owner=parts.chart.numpy(),
        widths=_widths(parts.simplices, dots.cpu().double()) if atlas.dim == 1 else np.zeros(0),
        border=view(parts.border),
        dots=view(dots),
        dot_owner=dot_owner.cpu().numpy(),
        paths=np.zeros((0, 2, view.basis.shape[1])),
        shades=colors(atlas.n_charts),
        labels=view.labels,
        given=x is not None,
    )
    where = view(made)
    if atlas.dim in _DIMENSIONS:
        start = _inmost(scene, where)
        at = Located(samples.chart[start : start + 1], samples.coords[start : start + 1])
        scene = scene._replace(paths=view(_geodesics(atlas, at)))
    figure = new_figure(_WIDTH, _WIDTH)
    axes = (_space if len(scene.labels) == 3 else _plane)(figure, scene)
    charts = "1 chart" if atlas.n_charts == 1 else f"{atlas.n_charts} charts"
    space = "\N{MULTIPLICATION SIGN}".join(map(str, atlas.ambient_shape))
    figure.suptitle(rf"{charts}, $d = {atlas.dim}$, in $\mathbb{{R}}^{{{space}}}$", fontsize=TITLE)
    if is_image(atlas.ambient_shape):
        front = _front(scene, where)
        owner = dot_owner if x is None else regions.owner(made, samples.chart)
        shades = scene.shades[owner.cpu().numpy()[front]]
        images = made.unflatten(1, atlas.ambient_shape).cpu().double().numpy()[front]
        add_thumbnails(axes, where[front], images, shades, beside=atlas.dim == 1)
    return figure


def _geodesics(atlas: Atlas, start: Located) -> Tensor:
    """Geodesics (R, T, n) from a point in several directions of a plane, up to a border."""
    basis = atlas.geometry(start.coords, start.chart).tangent_basis[0]
    angle = 2 * math.pi * (torch.arange(_RAYS) + 0.2).to(basis) / _RAYS
    ray = torch.outer(angle.cos(), basis[:, 0]) + torch.outer(angle.sin(), basis[:, 1])
    metric = InducedMetric(atlas, _GEODESIC_TOLERANCE)
    # Short steps: long ones pass over holes of a domain.
    vector = _LENGTH * atlas.half_diagonal / _STEPS * ray
    at = Located(start.chart.repeat(_RAYS), start.coords.repeat(_RAYS, 1))
    points = [atlas.decode(at.coords, at.chart).flatten(1)]
    for _ in range(_STEPS):
        at, carried = metric.parallel_transport(vector.unsqueeze(1), at, vector, stop=True)
        points.append(atlas.decode(at.coords, at.chart).flatten(1))
        vector = carried[:, 0]
    return torch.stack(points, 1)


def _front(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Indices of the points (N, m) that are seen."""
    if scene.dim == 2 and len(scene.labels) == 3:
        return np.flatnonzero(_visible(scene, points))
    return np.arange(len(points))


def _inmost(scene: Scene, points: np.ndarray) -> int:
    """Of points (N, m) that are seen the farthest from the border, or the nearest to the middle."""
    from scipy.spatial.distance import cdist

    front = _front(scene, points)
    if len(scene.border):
        return int(front[cdist(points[front], scene.border.mean(1)).min(1).argmax()])
    return int(front[cdist(points[front], points[front].mean(0, keepdims=True)).argmin()])


def _widths(pieces: Tensor, dots: Tensor) -> np.ndarray:
    """Widths (M,) of the segments (M, 2, n) of a curve, points, as the density of dots along it."""
    middle, length = pieces.mean(1), (pieces[:, 1] - pieces[:, 0]).norm(dim=-1)
    total = length.sum()

    def near(points: Tensor) -> Tensor:
        return torch.exp(-0.5 * (torch.cdist(middle, points) / (_NEAR * total)).square())

    count, room = near(dots).mean(1), near(middle) @ length / total
    mean, least, largest = _WIDTHS
    return np.asarray((mean * count / room).clamp(least, largest))


def _plane(figure: Figure, scene: Scene) -> Any:
    """Draw in the plane."""
    from matplotlib.collections import LineCollection, PolyCollection

    axes: Any = figure.add_subplot()
    style: dict[str, Any]
    tint = scene.shades[scene.owner]
    if scene.dim == 1:
        if scene.given:
            axes.scatter(*scene.dots.T, s=3, color="0.6", linewidths=0, zorder=1)
        style = {"linewidths": scene.widths, "capstyle": "round", "zorder": 2}
        axes.add_collection(LineCollection(list(scene.pieces), colors=tint, **style))
        axes.plot(*scene.border[:, 0].T, "o", ms=5, mfc="white", mec=_INK, mew=1, zorder=3)
    else:
        pale = 1 - 0.45 * (1 - tint)
        if scene.dim == 2:
            style = {"facecolors": pale, "edgecolors": pale, "linewidths": 0.3, "zorder": 1}
            axes.add_collection(PolyCollection(list(scene.pieces), **style))
            axes.add_collection(LineCollection(list(scene.border), colors=_INK, lw=1.2, zorder=3))
        shade = 0.8 * scene.shades[scene.dot_owner]
        axes.scatter(*scene.dots.T, s=2.5, c=shade, linewidths=0, zorder=2)
        axes.add_collection(LineCollection(list(scene.paths), colors=_INK, lw=0.8, zorder=4))
        axes.plot(*scene.paths[:1, 0].T, "o", ms=3, color=_INK, zorder=5)
    # Pictures beside a curve need room.
    axes.margins(_ROOM if scene.dim == 1 else 0.03)
    axes.autoscale_view()
    axes.set_xlabel(scene.labels[0], fontsize=TITLE)
    if len(scene.labels) == 1:
        axes.spines["left"].set_visible(False)
        axes.set(yticks=[], ylim=(-1, 1))
        figure.set_figheight(1.2)
    else:
        width, height = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
        figure.set_figheight(
            float(np.clip(_WIDTH * height / width, *_HEIGHTS)) + _TITLE + 3 * _LINE
        )
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_ylabel(scene.labels[1], fontsize=TITLE)
        axes.locator_params(nbins=5)
    axes.tick_params(labelsize=SMALL, width=LINE, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_linewidth(LINE)
    _legend(figure, scene, "outside lower center")
    return axes


def _space(figure: Figure, scene: Scene) -> Any:
    """Draw in space; lines behind a surface are pale, dots are left out."""
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection  # type: ignore[import-untyped]

    style: dict[str, Any]
    axes: Any = figure.add_subplot(projection="3d", computed_zorder=False, proj_type="ortho")
    axes.view_init(*_VIEW)

    def lines(segments: np.ndarray, **style: Any) -> None:
        if len(segments):
            axes.add_collection3d(Line3DCollection(segments, **style), autolim=False)

    if scene.dim == 1:
        if scene.given:
            axes.scatter(*scene.dots.T, s=3, color="0.6", linewidths=0, zorder=1)
        tint = scene.shades[scene.owner]
        lines(scene.pieces, colors=tint, linewidths=scene.widths, capstyle="round", zorder=2)
        axes.plot(*scene.border[:, 0].T, "o", ms=5, mfc="white", mec=_INK, mew=1, zorder=3)
    else:
        seen = np.ones(len(scene.dots), bool)
        shade, size = scene.shades[scene.dot_owner], 4.0
        if scene.dim == 2:
            seen, shade, size = _visible(scene, scene.dots), 0.45 * shade, 2.0
            tint = _lit(scene)
            style = {"facecolors": tint, "edgecolors": tint, "linewidths": 0.3, "zorder": 1}
            axes.add_collection3d(Poly3DCollection(scene.pieces, **style), autolim=False)
        style = {"linewidths": 0, "depthshade": False, "zorder": 3}
        axes.scatter(*scene.dots[seen].T, s=size, c=shade[seen], **style)
        paths = np.stack([scene.paths[:, :-1], scene.paths[:, 1:]], 2).reshape(-1, 2, 3)
        border = scene.border
        if scene.dim == 3:
            axes.scatter(
                *border[:, 0].T, s=2, color=_INK, alpha=0.5, depthshade=False, linewidths=0
            )
            border = border[:0]
        for segments, width in ((paths, 0.9), (border, 1.3)):
            seen = _visible(scene, segments.mean(1))
            lines(segments[seen], colors=_INK, linewidths=width, zorder=4)
            lines(segments[~seen], colors=_INK, linewidths=0.6 * width, alpha=0.25, zorder=4)
        axes.scatter(*scene.paths[:1, 0].T, s=10, color=_INK, depthshade=False, zorder=5)
    for axis, label in zip((axes.xaxis, axes.yaxis, axes.zaxis), scene.labels, strict=True):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set(color="0.4", linewidth=LINE)
        axis.set_label_text(label, fontsize=TITLE)
        axis.labelpad = -3
        axis.set_tick_params(labelsize=SMALL, pad=-2, width=LINE)
    axes.grid(False)
    rows = _legend(figure, scene, "lower center")
    _frame(axes, np.concatenate([scene.pieces.reshape(-1, 3), scene.dots]), rows)
    return axes


def _frame(axes: Any, points: np.ndarray, rows: int) -> None:
    """Make the box around points (N, 3) fill the width of the figure, and the figure as high as that."""
    from matplotlib.ticker import MaxNLocator

    low, high = points.min(0), points.max(0)
    room = 0.03 * (high - low).max()
    low, high = low - room, high + room
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    for axis, first, last in zip((axes.xaxis, axes.yaxis, axes.zaxis), low, high, strict=True):
        ticks = MaxNLocator(4, min_n_ticks=2).tick_values(first, last)
        axis.set_ticks(ticks[(first <= ticks) & (ticks <= last)])
    figure = axes.figure
    figure.set_layout_engine("none")
    figure.set_size_inches(_WIDTH, _WIDTH)
    axes.patch.set_visible(False)
    axes.set_position([0, 0, 1, 1])
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    zoom = 1.0
    for _ in range(2):
        axes.set_box_aspect(high - low, zoom=zoom)
        figure.draw_without_rendering()
        seen = on_page(axes, corners)
        zoom *= (_WIDTH - 2 * _BESIDE) / np.ptp(seen[:, 0])
    # What labels need, too.
    boxes = [axis.get_tightbbox().extents for axis in (axes.xaxis, axes.yaxis, axes.zaxis)]
    edges = np.array(boxes) / figure.dpi
    left, bottom = np.minimum(edges[:, :2].min(0), seen.min(0))
    right, top = np.maximum(edges[:, 2:].max(0), seen.max(0))
    below = _LINE * (rows + 1)
    width, height = right - left + 0.1, top - bottom + _TITLE + below
    figure.set_size_inches(width, height)
    corner = (0.05 - left) / width, (below - bottom) / height
    axes.set_position([*corner, _WIDTH / width, _WIDTH / height])


def _screen() -> tuple[np.ndarray, np.ndarray]:
    """Unit vector (3,) to the viewer, and those to the right and up (3, 2)."""
    up, around = np.radians(_VIEW)
    toward = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    right = np.array([-np.sin(around), np.cos(around), 0.0])
    return toward, np.stack([right, np.cross(toward, right)], 1)


def _lit(scene: Scene) -> np.ndarray:
    """Colours (M, 3) of triangles, darker where light falls from the side; both sides are alike."""
    toward, screen = _screen()
    edges = scene.pieces[:, 1:] - scene.pieces[:, :1]
    normal = np.cross(edges[:, 0], edges[:, 1])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-300)
    lamp = toward + screen @ [-0.4, 0.6]
    facing = normal @ (lamp / np.linalg.norm(lamp)) * np.sign(normal @ toward)
    light = 0.68 + 0.32 * facing.clip(0, 1)
    return light[:, None] * (1 - 0.7 * (1 - scene.shades[scene.owner]))


def _visible(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Which of points (N, 3) have no triangle of the surface in front of them."""
    from scipy.spatial import cKDTree

    if not len(scene.pieces):
        return np.ones(len(points), bool)
    toward, screen = _screen()
    middle = scene.pieces.mean(1)
    size = np.median(np.linalg.norm(scene.pieces[:, 1] - scene.pieces[:, 0], axis=-1))
    beside = cKDTree(middle @ screen).query_ball_point(points @ screen, 0.6 * size)
    depth, own = middle @ toward, points @ toward
    hides = [len(i) and depth[i].max() > z + 3 * size for i, z in zip(beside, own, strict=True)]
    return ~np.array(hides, bool)


def _legend(figure: Figure, scene: Scene, place: Any) -> int:
    """What stands for what; the number of rows."""
    from matplotlib.lines import Line2D

    def entry(label: str, color: Any = _INK, **style: Any) -> Line2D:
        return Line2D([], [], label=label, color=color, **style)

    squares = [entry(str(k), c, lw=0, marker="s", ms=5) for k, c in enumerate(scene.shades)]
    names = [f"chart {k}" if k == 0 else str(k) for k in range(len(squares))]
    handles, names = (squares, names) if len(squares) <= _MOST_IN_LEGEND else ([], [])
    others = []
    if scene.given or scene.dim > 1:
        others.append(entry("data" if scene.given else "samples", "0.4", lw=0, marker=".", ms=3))
    if scene.dim == 1:
        others.append(entry("wider: denser", "0.5", lw=3))
    if len(scene.paths):
        others.append(entry("geodesics", lw=0.9))
    if len(scene.border):
        point = {"lw": 0, "marker": "o", "ms": 4, "mfc": "white" if scene.dim == 1 else _INK}
        others.append(entry("border", **({"lw": 1.4} if scene.dim == 2 else point)))
    handles, names = handles + others, names + [str(line.get_label()) for line in others]
    figure.legend(
        handles=handles,
        labels=names,
        fontsize=SMALL,
        frameon=False,
        loc=place,
        ncols=_COLUMNS,
        handlelength=1.2,
        columnspacing=1.0,
        handletextpad=0.4,
    )
    return -(-len(handles) // _COLUMNS)
