"""The picture of an atlas is of the atlas: points on it, colours of charts, its border, labels."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import same_color, to_rgb
from matplotlib.offsetbox import AnnotationBbox
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection
from printable import assert_printable, no_global_state

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.atlas.figures import colors
from learnedmanifolds.atlas.mesh import Regions, mesh
from learnedmanifolds.charts import (
    CircleCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.charts.analytic import AnalyticCharts
from learnedmanifolds.models.kernel_atlas import KernelAtlas

DATA = Path(__file__).parent.parent / "data"


def parts(figure, kind):
    return [part for part in figure.axes[0].collections if type(part) is kind]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def thumbnails(figure):
    return [part for part in figure.axes[0].artists if isinstance(part, AnnotationBbox)]


def labels(figure):
    (axes,) = figure.axes
    shown = [axes.get_xlabel(), axes.get_ylabel()]
    return shown + ([axes.get_zlabel()] if axes.name == "3d" else [])


class PictureCharts(AnalyticCharts):
    """A circle or a square sheet, as pictures of a shape."""

    def __init__(self, dim, shape, curved):
        super().__init__(1, dim, shape)
        source = torch.Generator().manual_seed(0)
        basis = torch.randn(self.n_ambient, 2 * dim if curved else dim, generator=source)
        self.curved, self.basis = curved, torch.linalg.qr(basis.double())[0]

    def push(self, rows, rule, chart):
        if self.curved:
            rows = torch.cat(rule.cos_sin(3.0 * rows), -1)
        return rows @ self.basis.T

    def encode(self, x, chart=None):
        seen = (x if x.dim() == 3 or chart is not None else x.unsqueeze(0)) @ self.basis
        if not self.curved:
            return seen
        cos, sin = seen.chunk(2, -1)
        return torch.atan2(sin, cos) / 3.0


@pytest.fixture(scope="module")
def ring():
    x = lm.datasets.toy("ring").sample(2000, 0.01, 0)
    return KernelAtlas(dim=2, random_state=0).fit(x).atlas_


def test_arcs_lie_on_the_circle_in_the_colour_of_a_chart_that_holds_them():
    atlas = Atlas(CircleCharts(2.0, 4, overlap=0.3))
    figure = atlas.plot()
    (lines,) = parts(figure, LineCollection)
    corners = np.array(lines.get_segments())
    np.testing.assert_allclose(np.linalg.norm(corners, axis=-1), 2.0, rtol=1e-12)
    # Together they are the whole circle, but for rounding by chords.
    length = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1).sum()
    assert length == pytest.approx(4 * np.pi, rel=0.01)
    middle = torch.tensor(corners).mean(1)
    coords = atlas.charts.encode(middle)[..., 0].abs()
    shades = colors(4)
    for color, own in zip(lines.get_colors(), coords.T, strict=True):
        (chart,) = (k for k in range(4) if same_color(color, shades[k]))
        # Symmetric charts take over from each other where both are equally deep.
        assert own[chart] <= 1 and own[chart] <= own.min() + 0.02
    assert legend(figure) == ["chart 0", "1", "2", "3", "wider: denser"]
    assert labels(figure) == ["$x_1$", "$x_2$"]


def test_a_curve_is_wide_where_samples_are_dense():
    atlas = Atlas(PlaneCharts(torch.tensor([[1.0], [0.0]], dtype=torch.float64)))
    x = torch.cat([torch.linspace(-1, 0, 300), torch.linspace(0, 1, 100)]).unsqueeze(1)
    figure = atlas.plot(torch.cat([x, 0 * x], 1))
    (lines,) = parts(figure, LineCollection)
    at = np.array(lines.get_segments())[:, :, 0].mean(1)
    widths = np.array(lines.get_linewidths())
    left, right = (widths[np.abs(at - place) < 0.3].mean() for place in (-0.5, 0.5))
    assert left / right == pytest.approx(3, rel=0.1)
    assert "data" in legend(figure) and "border" in legend(figure)
    (ends,) = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    np.testing.assert_allclose(sorted(ends.get_xdata()), [-1, 1], atol=1e-9)


def test_a_sphere_is_closed_and_everything_lies_on_it():
    atlas = Atlas(SphereCharts(1.5))
    figure = atlas.plot()
    (surface,) = parts(figure, Poly3DCollection)
    corners = surface._faces
    np.testing.assert_allclose(np.linalg.norm(corners, axis=-1), 1.5, rtol=1e-12)
    edges = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1).sum() / 2
    assert area == pytest.approx(4 * np.pi * 1.5**2, rel=0.02)
    # Chart 0, in blue, is in the middle at the south pole, chart 1, in orange, at the north pole.
    height, color = corners[:, :, 2].mean(1), surface._facecolor3d
    assert (color[height < -0.1, 0] < color[height < -0.1, 2]).all()
    assert (color[height > 0.1, 0] > color[height > 0.1, 2]).all()
    for lines in parts(figure, Line3DCollection):
        np.testing.assert_allclose(np.linalg.norm(lines._segments3d, axis=-1), 1.5, rtol=1e-3)
    for dots in figure.axes[0].collections:
        if hasattr(dots, "_offsets3d"):
            np.testing.assert_allclose(np.linalg.norm(dots._offsets3d, axis=0), 1.5, rtol=1e-6)
    assert legend(figure) == ["chart 0", "1", "samples", "geodesics"]
    assert labels(figure) == ["$x_1$", "$x_2$", "$x_3$"]


def test_each_point_is_drawn_in_one_chart_of_those_that_hold_it():
    atlas = Atlas(TorusCharts(3.0, 1.0, per_circle=3))
    regions = Regions(atlas)
    made = mesh(regions)
    assert len(made.border) == 0
    edges = made.simplices[:, 1:] - made.simplices[:, :1]
    area = torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=-1).sum() / 2
    assert float(area) == pytest.approx(12 * np.pi**2, rel=0.03)
    coords = atlas.encode(made.simplices.flatten(0, 1), made.chart.repeat_interleave(3))
    assert float(coords.abs().max()) <= 1 + 1e-9
    x = atlas.sample(300, seed=1)
    owner = regions.owner(x, torch.zeros(300, dtype=torch.int64))
    assert float(atlas.encode(x, owner).abs().max()) <= 1
    # The nearest of the nine middles, in coordinates.
    assert bool((atlas.charts.encode(x).norm(dim=-1).argmin(0) == owner).all())


def test_the_border_of_a_square_is_its_sides_also_in_float32():
    atlas = Atlas(PlaneCharts(torch.eye(2))).to("float32")
    figure = atlas.plot()
    border, paths = parts(figure, LineCollection)
    corners = np.array(border.get_segments())
    np.testing.assert_allclose(np.abs(corners).max(-1), 1.0, atol=2e-3)
    length = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1).sum()
    assert length == pytest.approx(8, rel=0.01)
    (sheet,) = parts(figure, PolyCollection)
    for path in sheet.get_paths():
        assert np.abs(path.vertices).max() <= 1 + 1e-6
    # Geodesics of the plane are straight, and leave from one point.
    for path in paths.get_segments():
        along = (path - path[0]) @ (path[-1] - path[0])
        across = (path - path[0]) @ [[0, -1], [1, 0]] @ (path[-1] - path[0])
        np.testing.assert_allclose(across, 0, atol=1e-5)
        assert (np.diff(along) > -1e-6).all()
        np.testing.assert_allclose(path[0], paths.get_segments()[0][0])


def test_the_border_of_a_learned_ring_is_at_its_radii(ring):
    figure = ring.plot()
    border, paths = parts(figure, LineCollection)
    radius = np.linalg.norm(np.array(border.get_segments()), axis=-1).ravel()
    inner = radius < 1
    # Domains end a little beyond the data, and at no place in between.
    assert inner.any() and (~inner).any()
    assert np.abs(radius[inner] - 0.5).max() < 0.2 and np.abs(radius[~inner] - 1.5).max() < 0.2
    depth = ring.charts.domain.depth(ring.encode(torch.tensor(border.get_segments()[0]), 0), 0)
    assert float(depth.abs().max()) < 1e-6
    # No geodesic passes over the hole.
    for path in paths.get_segments():
        assert np.linalg.norm(path, axis=-1).min() > radius.min() - 0.05


def test_a_learned_closed_curve_has_no_border():
    x = lm.datasets.toy("loop").sample(1000, 0.01, 0)
    figure = KernelAtlas(dim=1, random_state=0).fit(x).atlas_.plot(x)
    assert "border" not in legend(figure) and "data" in legend(figure)


def test_saved_charts_of_a_circle_are_drawn_whole_and_printable():
    figure = lm.load(DATA / "circle.safetensors").plot()
    (lines,) = parts(figure, LineCollection)
    corners = np.array(lines.get_segments())
    np.testing.assert_allclose(np.linalg.norm(corners, axis=-1), 1.0, atol=0.03)
    length = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1).sum()
    assert length == pytest.approx(2 * np.pi, rel=0.02)
    assert "border" not in legend(figure)
    assert_printable(figure)


def test_many_features_are_drawn_in_principal_coordinates_that_say_their_share():
    basis = torch.zeros(5, 2, dtype=torch.float64)
    basis[1, 0], basis[3, 1] = 3.0, 1.0
    figure = Atlas(PlaneCharts(basis)).plot()
    (axes,) = figure.axes
    names = labels(figure)
    assert len(names) == 2
    shares = [int(name.split("(")[1].split(" %")[0]) for name in names]
    assert names[0].startswith("principal coordinate 1") and sum(shares) == 100
    assert shares[0] == pytest.approx(90, abs=3)
    (sheet,) = parts(figure, PolyCollection)
    corners = np.concatenate([path.vertices for path in sheet.get_paths()])
    np.testing.assert_allclose(np.ptp(corners, axis=0), [6, 2], rtol=0.1)
    assert_printable(figure)


@pytest.mark.parametrize(
    ("dim", "shape", "curved"),
    [(1, (12, 12), True), (1, (1, 8, 9), True), (2, (3, 10, 8), False)],
)
def test_thumbnails_of_images_do_not_overlap(dim, shape, curved):
    figure = Atlas(PictureCharts(dim, shape, curved)).plot()
    shown = thumbnails(figure)
    assert 5 <= len(shown) <= 24
    figure.draw_without_rendering()
    boxes = [part.patch.get_window_extent() for part in shown]
    for one, two in itertools.combinations(boxes, 2):
        assert not one.overlaps(two)
    for box in boxes:
        assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
    for part in shown:
        assert part.offsetbox.get_data().shape[:2] == shape[-2:]


@pytest.mark.parametrize("shape", [(3, 3), (20,), (2, 9, 9), (9, 2)])
def test_other_shapes_have_no_thumbnails(shape):
    assert not thumbnails(Atlas(PictureCharts(1, shape, True)).plot())


@pytest.mark.parametrize(
    "charts",
    [
        PlaneCharts(torch.eye(1)),
        CircleCharts(1.0, 24),
        TorusCharts(overlap=0.4),
        PlaneCharts(torch.eye(3)),
        SphereCharts(1.0, 3),
        SphereCharts(1.0, 5),
    ],
    ids=lambda charts: f"{type(charts).__name__}-{charts.dim}-{charts.n_charts}",
)
def test_any_dimension_and_number_of_charts_is_printable(charts):
    atlas = Atlas(charts)
    with no_global_state():
        figure = atlas.plot()
        assert_printable(figure)
    assert len({to_rgb(color) for color in colors(atlas.n_charts)}) == atlas.n_charts


def test_the_faces_of_a_cube_are_its_border():
    border = mesh(Regions(Atlas(PlaneCharts(torch.eye(3))))).border
    assert len(border) > 100
    np.testing.assert_allclose(border.abs().amax(-1), 1.0, atol=1e-6)


def test_the_same_seed_gives_the_same_picture():
    atlas = Atlas(CircleCharts(1.0, 3))
    widths = [
        np.array(parts(atlas.plot(seed=s), LineCollection)[0].get_linewidths()) for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(widths[0], widths[1])
    assert (widths[0] != widths[2]).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": torch.zeros(3, 5)}, ValueError, "x must have shape"),
        ({"x": torch.zeros(0, 2)}, ValueError, "x must not be empty"),
        ({"x": torch.full((3, 2), torch.nan)}, ValueError, "x must"),
        ({"x": "data"}, TypeError, "x must"),
        ({"seed": 0.5}, TypeError, "seed must"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        Atlas(CircleCharts(1.0, 3)).plot(**arguments)
