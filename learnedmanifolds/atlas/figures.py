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
from learnedmanifolds._panels import LINE, SMALL, TITLE, grey, grey_limits, new_figure
from learnedmanifolds.atlas.mesh import Regions, grid_of, mesh
from learnedmanifolds.geometry import InducedMetric, Located

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learnedmanifolds.atlas.atlas import Atlas

# Petroff, Accessible color sequences for data visualization, arXiv 2107.02270, 2021; without its greys.
_COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#5dac6a", "#e76300", "#92dadd", "#a96b59")
# Inches.
_WIDTH, _HEIGHT = 5.0, 5.2
_SAMPLES, _FEW = 1500, 600
# Geodesics from one point, points on each, and their length as a share of the manifold's half diagonal.
_RAYS, _STEPS, _LENGTH, _MOST = 6, 20, 0.8, 3
_GEODESIC_TOLERANCE = 1e-3
_SHARE = 0.03
_VIEW = (28.0, -58.0)
# Points, of the longer side of a thumbnail; how many at most.
_THUMB, _THUMBS = 30.0, 24
_INK = "0.12"
_MARGIN = 0.45


class View(NamedTuple):
    """An affine map of the ambient space to what is drawn, x -> (x - center) @ basis."""

    center: Tensor
    basis: Tensor
    labels: tuple[str, ...]

    def __call__(self, x: Tensor) -> np.ndarray:
        """Points (..., m) of points (..., n)."""
        return np.asarray((x.detach().cpu().double() - self.center) @ self.basis)


def view_of(x: Tensor) -> View:
    """Ambient coordinates of points (N, n) of up to three, else three principal coordinates."""
    n = x.shape[1]
    if n <= 3:
        labels = tuple(f"$x_{i + 1}$" for i in range(n))
        return View(x.new_zeros(n), torch.eye(n, dtype=x.dtype), labels)
    center = x.mean(0)
    _, sizes, rows = torch.linalg.svd((x - center)[:_FEW], full_matrices=False)
    share = sizes.square() / sizes.square().sum().clamp(min=torch.finfo(x.dtype).tiny)
    rows = rows[:3] * rows[:3].gather(1, rows[:3].abs().argmax(1, keepdim=True)).sign()
    # A third coordinate that shows next to nothing makes a picture harder to read.
    rows = rows if len(rows) < 3 or share[2] > _SHARE else rows[:2]
    labels = tuple(
        f"principal coordinate {i + 1} ({100 * share[i]:.0f} %)" for i in range(len(rows))
    )
    return View(center, rows.mT.contiguous(), labels)


def colors(count: int) -> list[tuple[float, float, float]]:
    """Distinct colours, one a chart."""
    from matplotlib.colors import to_rgb

    if count <= len(_COLORS):
        return [to_rgb(color) for color in _COLORS[:count]]
    # Steps of the golden ratio keep charts of near numbers apart.
    hues = [(0.58 + k * 0.618034) % 1 for k in range(count)]
    return [colorsys.hls_to_rgb(hue, (0.5, 0.62, 0.4)[k % 3], 0.6) for k, hue in enumerate(hues)]


class Scene(NamedTuple):
    """What is drawn, in the coordinates of the view; m is their number.

    Attributes
    ----------
    pieces : ndarray, shape (M, d + 1, m)
        See `Mesh`; none for d > 2.
    owner : ndarray, shape (M,)
        The chart of each.
    border : ndarray, shape (B, d, m), or (B, 1, m) for d > 2
    dots : ndarray, shape (N, m)
        Samples, or data.
    dot_owner : ndarray, shape (N,)
    shades : ndarray, shape (K, 3)
        Colours of the charts.
    """

    pieces: np.ndarray
    owner: np.ndarray
    border: np.ndarray
    dots: np.ndarray
    dot_owner: np.ndarray
    shades: np.ndarray

    @property
    def is_surface(self) -> bool:
        """Whether there are triangles."""
        return self.pieces.shape[1] == 3


def draw(atlas: Atlas, x: Tensor | None, seed: int | None) -> Figure:
    """Charts, density, border, geodesics and, of images, thumbnails; see `Atlas.plot`.

    Parameters
    ----------
    atlas : Atlas
    x : Tensor, shape (N, n), optional
        Data in place of samples.
    seed : int, optional
    """
    with torch.no_grad():
        grid, side = grid_of(atlas)
        regions = Regions(atlas, grid)
        parts = mesh(regions, grid, side)
        samples = atlas.sample_coords(_SAMPLES, seed)
        made = atlas.decode(samples.coords, samples.chart).flatten(1)
        dots, chart = made, samples.chart
        if x is not None:
            dots = x[torch.randperm(len(x), generator=generator(seed))[:_SAMPLES].to(x.device)]
            chart = atlas.locate(dots.unflatten(1, atlas.ambient_shape)).chart
        dot_owner = regions.owner(dots, chart)
    view = view_of(made.cpu().double())
    scene = Scene(
        view(parts.simplices),
        parts.chart.numpy(),
        view(parts.border),
        view(dots),
        dot_owner.cpu().numpy(),
        np.array(colors(atlas.n_charts)),
    )
    flat = view(made)
    front = np.arange(len(flat))
    if scene.is_surface and flat.shape[1] == 3:
        front = np.flatnonzero(_visible(scene, flat, _toward(_VIEW)))
    start = front[_inmost(flat[front], scene.border)]
    shot = 1 < atlas.dim <= _MOST
    paths = (
        view(_geodesics(atlas, samples, int(start))) if shot else np.zeros((0, 2, flat.shape[1]))
    )
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = (_space if len(view.labels) == 3 else _plane)(figure, scene, paths, view.labels)
    _legend(figure, atlas, scene, x is not None)
    _title(figure, atlas)
    if is_image(atlas.ambient_shape):
        images = made.unflatten(1, atlas.ambient_shape).cpu().double().numpy()
        _thumbnails(
            axes,
            scene,
            flat,
            images,
            dot_owner.cpu().numpy()
            if x is None
            else regions.owner(made, samples.chart).cpu().numpy(),
        )
    return figure


def _inmost(points: np.ndarray, border: np.ndarray) -> int:
    """The point (N, m) farthest from the border, or nearest to the middle where there is none."""
    from scipy.spatial.distance import cdist

    if len(border):
        return int(cdist(points, border.mean(1)).min(1).argmax())
    return int(cdist(points, points.mean(0, keepdims=True)).argmin())


def _geodesics(atlas: Atlas, samples: Located, start: int) -> Tensor:
    """Geodesics (T, n) from a sample in several directions, up to a border."""
    at = Located(*(part[start : start + 1] for part in samples))
    basis = atlas.geometry(at.coords, at.chart).tangent_basis[0]
    angle = 2 * math.pi * (torch.arange(_RAYS) + 0.2).to(basis) / _RAYS
    ray = torch.outer(angle.cos(), basis[:, 0]) + torch.outer(angle.sin(), basis[:, 1])
    metric = InducedMetric(atlas, _GEODESIC_TOLERANCE)
    vector = _LENGTH * atlas.half_diagonal / _STEPS * ray
    ends = [Located(at.chart.repeat(_RAYS), at.coords.repeat(_RAYS, 1))]
    for _ in range(_STEPS):
        end, carried = metric.parallel_transport(vector.unsqueeze(1), ends[-1], vector, stop=True)
        ends.append(end)
        vector = carried[:, 0]
    return torch.stack([atlas.decode(end.coords, end.chart).flatten(1) for end in ends], 1)


def _plane(figure: Figure, scene: Scene, paths: np.ndarray, labels: tuple[str, ...]) -> Any:
    from matplotlib.collections import LineCollection, PolyCollection

    axes = figure.add_subplot()
    if len(labels) == 1:
        scene = scene._replace(
            **{
                name: np.concatenate([part, np.zeros_like(part)], -1)
                for name in ("pieces", "border", "dots")
                for part in (getattr(scene, name),)
            }
        )
        axes.spines["left"].set_visible(False)
        axes.set(yticks=[], ylim=(-1, 1))
    pale = 1 - 0.45 * (1 - scene.shades)
    d = scene.pieces.shape[1] - 1
    if d == 2:
        face = pale[scene.owner]
        axes.add_collection(
            PolyCollection(scene.pieces, facecolors=face, edgecolors=face, linewidths=0.3, zorder=1)
        )
        axes.scatter(
            *scene.dots.T, s=2.5, c=0.8 * scene.shades[scene.dot_owner], linewidths=0, zorder=2
        )
        axes.add_collection(LineCollection(scene.border, colors=_INK, linewidths=1.2, zorder=3))
        axes.add_collection(LineCollection(paths, colors=_INK, linewidths=0.7, zorder=3))
        axes.plot(*paths[0, 0], "o", ms=3, color=_INK, zorder=4)
    else:
        width = _widths(scene)
        axes.add_collection(
            LineCollection(
                scene.pieces,
                colors=scene.shades[scene.owner],
                linewidths=width,
                capstyle="round",
                zorder=1,
            )
        )
        axes.plot(*scene.border[:, 0].T, "o", ms=5, mfc="white", mec=_INK, mew=1, zorder=3)
    axes.autoscale_view()
    if len(labels) == 2:
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_ylabel(labels[1], fontsize=TITLE)
    axes.set_xlabel(labels[0], fontsize=TITLE)
    axes.tick_params(labelsize=SMALL, width=LINE, length=2)
    axes.locator_params(nbins=5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_linewidth(LINE)
    return axes


def _space(figure: Figure, scene: Scene, paths: np.ndarray, labels: tuple[str, ...]) -> Any:
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

    axes = figure.add_subplot(projection="3d", computed_zorder=False, proj_type="ortho")
    axes.view_init(*_VIEW)
    everything = np.concatenate([scene.pieces.reshape(-1, 3), scene.dots])
    low, high = everything.min(0), everything.max(0)
    low, high = low - 0.03 * (high - low).max(), high + 0.03 * (high - low).max()
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    toward = _toward(_VIEW)
    d = scene.pieces.shape[1] - 1
    if d == 2:
        axes.add_collection3d(
            Poly3DCollection(
                scene.pieces,
                facecolors=_lit(scene, toward),
                edgecolors=_lit(scene, toward),
                linewidths=0.3,
                zorder=1,
            ),
            autolim=False,
        )
        seen = _visible(scene, scene.dots, toward)
        axes.scatter(
            *scene.dots[seen].T,
            s=2,
            c=0.45 * scene.shades[scene.dot_owner[seen]],
            linewidths=0,
            depthshade=False,
            zorder=3,
        )
        lines = np.stack([paths[:, :-1], paths[:, 1:]], 2).reshape(-1, 2, 3)
        for segments, width in ((lines, 0.8), (scene.border, 1.3)):
            seen = _visible(scene, segments.mean(1), toward)
            for part, style in (
                (segments[seen], {"alpha": 1, "linewidths": width}),
                (segments[~seen], {"alpha": 0.25, "linewidths": 0.6 * width}),
            ):
                if len(part):
                    axes.add_collection3d(
                        Line3DCollection(part, colors=_INK, zorder=4, **style), autolim=False
                    )
        axes.scatter(*paths[0, 0], s=10, color=_INK, depthshade=False, zorder=5)
    elif d == 1:
        axes.add_collection3d(
            Line3DCollection(
                scene.pieces,
                colors=scene.shades[scene.owner],
                linewidths=_widths(scene),
                capstyle="round",
                zorder=2,
            ),
            autolim=False,
        )
        axes.plot(*scene.border[:, 0].T, "o", ms=5, mfc="white", mec=_INK, mew=1, zorder=3)
    else:
        axes.scatter(*scene.dots.T, s=4, c=scene.shades[scene.dot_owner], linewidths=0, zorder=2)
        axes.scatter(*scene.border[:, 0].T, s=3, color=_INK, alpha=0.5, linewidths=0, zorder=3)
    for axis, label in zip((axes.xaxis, axes.yaxis, axes.zaxis), labels, strict=True):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set(color="0.4", linewidth=LINE)
        axis.set_label_text(label, fontsize=TITLE)
        axis.labelpad = -6
        axis.set_tick_params(labelsize=SMALL, pad=-2, width=LINE)
        axis.set_major_locator(_ticks())
    axes.grid(False)
    _frame(figure, axes, low, high, 0.3, 0.3 + 0.15 * (len(scene.shades) // 10))
    return axes


def _frame(
    figure: Figure, axes: Any, low: np.ndarray, high: np.ndarray, title: float, legend: float
) -> None:
    """Make a box of space fill the width of the figure, and the figure as high as it needs."""
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    figure.set_layout_engine("none")
    figure.set_size_inches(_WIDTH, _WIDTH)
    axes.patch.set_visible(False)
    axes.set_position([0, 0, 1, 1])
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    zoom = 1.0
    for _ in range(2):
        axes.set_box_aspect(high - low, zoom=zoom)
        figure.draw_without_rendering()
        seen = axes.transData.transform(
            np.stack(proj_transform(*corners.T, axes.get_proj())[:2], -1)
        )
        seen = seen / figure.dpi
        zoom *= (_WIDTH - 2 * _MARGIN) / np.ptp(seen[:, 0])
    boxes = [axis.get_tightbbox() for axis in (axes.xaxis, axes.yaxis, axes.zaxis)]
    edges = np.array([box.extents for box in boxes]) / figure.dpi
    left, bottom = np.minimum(edges[:, :2].min(0), seen.min(0))
    right, top = np.maximum(edges[:, 2:].max(0), seen.max(0))
    width, height = right - left + 0.1, top - bottom + title + legend
    figure.set_size_inches(width, height)
    x, y = (0.05 - left) / width, (legend - bottom) / height
    axes.set_position([x, y, _WIDTH / width, _WIDTH / height])


def _ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, min_n_ticks=2, prune=None)


def _toward(view: tuple[float, float]) -> np.ndarray:
    """Unit vector to the viewer."""
    up, around = np.radians(view)
    return np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])


def _lit(scene: Scene, toward: np.ndarray) -> np.ndarray:
    """Colours of triangles, darker where they are seen from the side; both sides alike."""
    a, b = scene.pieces[:, 1] - scene.pieces[:, 0], scene.pieces[:, 2] - scene.pieces[:, 0]
    normal = np.cross(a, b)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-300)
    side = np.cross(toward, [0, 0, 1.0])
    lamp = toward + 0.5 * side + [0, 0, 0.5]
    facing = normal @ (lamp / np.linalg.norm(lamp)) * np.sign(normal @ toward)
    light = (0.68 + 0.32 * facing.clip(0, 1))[:, None]
    pale = 1 - 0.7 * (1 - scene.shades[scene.owner])
    return light * pale


def _visible(scene: Scene, points: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """Which points (N, 3) no triangle of the scene is in front of."""
    from scipy.spatial import cKDTree

    right = np.cross([0, 0, 1.0], toward)
    right /= np.linalg.norm(right)
    screen = np.stack([right, np.cross(toward, right)], 1)
    middle = scene.pieces.mean(1)
    size = np.median(np.linalg.norm(scene.pieces[:, 1] - scene.pieces[:, 0], axis=-1))
    near = cKDTree(middle @ screen).query_ball_point(points @ screen, 0.6 * size)
    depth, own = middle @ toward, points @ toward
    return np.array(
        [not len(i) or depth[i].max() < z + 3 * size for i, z in zip(near, own, strict=True)], bool
    )


def _widths(scene: Scene) -> np.ndarray:
    """Widths of the segments of a curve, points: their mean is 3, as the density of the dots along it."""
    from scipy.spatial import cKDTree

    middle = scene.pieces.mean(1)
    length = np.linalg.norm(scene.pieces[:, 1] - scene.pieces[:, 0], axis=-1)
    reach = 0.03 * length.sum()
    dots = cKDTree(scene.dots)
    count = np.array([len(i) for i in dots.query_ball_point(middle, reach)])
    tree = cKDTree(middle)
    room = np.array([length[i].sum() for i in tree.query_ball_point(middle, reach)])
    density = count / room * length.sum() / len(scene.dots)
    return np.clip(3 * density, 0.8, 9)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether points of a shape are pictures: (H, W), (1, H, W), (3, H, W), of 8 pixels a side or more."""
    return len(shape) in (2, 3) and min(shape[-2:]) >= 8 and shape[:-2] in ((), (1,), (3,))


def _thumbnails(
    axes: Any, scene: Scene, where: np.ndarray, images: np.ndarray, owner: np.ndarray
) -> None:
    """Pictures at some of the points (N, m), beside a curve, framed in the colour of their chart."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = axes.figure
    figure.draw_without_rendering()
    if where.shape[1] == 3:
        from mpl_toolkits.mplot3d.proj3d import proj_transform

        where = np.stack(proj_transform(*where.T, axes.get_proj())[:2], -1)
    screen = axes.transData.transform(where) * 72 / figure.dpi
    images = np.moveaxis(images, 1, -1) if images.ndim == 4 else images[..., None]
    limits = grey_limits(None, [images])
    images = ((images - limits[0]) / (limits[1] - limits[0])).clip(0, 1)
    height, width = images.shape[1:3]
    zoom = _THUMB / max(height, width)
    size = np.array([width, height]) * zoom + 3
    box = figure.bbox.bounds[2:] if where is None else np.array(figure.get_size_inches()) * 72
    for i, center in _places(
        screen, size, box, beside=not scene.is_surface and len(scene.pieces) > 0
    ):
        picture = images[i, ..., 0] if images.shape[-1] == 1 else images[i]
        art = OffsetImage(picture, zoom=zoom, cmap=grey(), interpolation="nearest", clim=(0, 1))
        axes.add_artist(
            AnnotationBbox(
                art,
                where[i],
                xybox=tuple(center - screen[i]),
                boxcoords="offset points",
                pad=0.1,
                bboxprops={"edgecolor": scene.shades[owner[i]], "linewidth": 1.2},
                arrowprops={
                    "arrowstyle": "-",
                    "color": "0.3",
                    "linewidth": 0.6,
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
                zorder=6,
            )
        ).set_in_layout(False)


def _places(
    screen: np.ndarray, size: np.ndarray, page: np.ndarray, beside: bool
) -> list[tuple[int, np.ndarray]]:
    """Points to show, from far apart to near, and the middles of their pictures; none overlap."""
    order = _spread(screen, 150)
    angle = 2 * np.pi * np.arange(24) / 24
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * size
    shifts = np.concatenate([r * ring for r in (0.85, 1.1, 1.4)]) if beside else np.zeros((1, 2))
    placed: list[tuple[int, np.ndarray]] = []
    for i in order:
        best, least = None, 0.3 if beside else np.inf
        for shift in shifts:
            center = screen[i] + shift
            if (center - size / 2 < 4).any() or (center + size / 2 > page - 4).any():
                continue
            if any((np.abs(center - other) < size + 2).all() for _, other in placed):
                continue
            # Pictures cover neither the curve nor the ends of other pictures' lines.
            cost = (np.abs(screen - center) < size / 2 + 2).all(-1).mean() * 100 if beside else 0.0
            if cost < least:
                best, least = center, cost
        if best is not None:
            placed.append((int(i), best))
        if len(placed) == _THUMBS:
            break
    return placed


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of points, each the farthest from those before."""
    chosen = [int(points[:, 0].argmin())]
    gap = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        gap = np.minimum(gap, np.linalg.norm(points - points[chosen[-1]], axis=-1))
        chosen.append(int(gap.argmax()))
    return np.array(chosen)


def _legend(figure: Figure, atlas: Atlas, scene: Scene, given: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=c, lw=0, marker="s", ms=5, label=f"chart {k}" if k == 0 else str(k))
        for k, c in enumerate(scene.shades)
    ]
    if atlas.dim > 1:
        handles.append(
            Line2D(
                [], [], color="0.3", lw=0, marker=".", ms=3, label="data" if given else "samples"
            )
        )
        handles.append(Line2D([], [], color=_INK, lw=0.8, label="geodesics"))
    if len(scene.border):
        handles.append(Line2D([], [], color=_INK, lw=1.4, label="border"))
    figure.legend(
        handles=handles,
        fontsize=SMALL,
        frameon=False,
        loc="outside lower center" if figure.get_layout_engine() else "lower center",
        ncols=10,
        handlelength=1.2,
        columnspacing=1.0,
        handletextpad=0.4,
    )


def _title(figure: Figure, atlas: Atlas) -> None:
    charts = "1 chart" if atlas.n_charts == 1 else f"{atlas.n_charts} charts"
    space = "\N{MULTIPLICATION SIGN}".join(map(str, atlas.ambient_shape))
    figure.suptitle(rf"{charts}, $d = {atlas.dim}$, in $\mathbb{{R}}^{{{space}}}$", fontsize=TITLE)
