"""Conductivities with their mesh, beside the potentials on the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._panels import (
    LINE,
    SMALL,
    as_images,
    color_bar,
    grey,
    grey_limits,
    new_figure,
)
from learnedmanifolds.plot._potentials import (
    as_potentials,
    choose_currents,
    draw_potentials,
    positions,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

# Inches: longer side of the mesh, width of the panel of potentials and of the text beside it.
SIDE, PANEL, MARGIN = 1.75, 3.1, 0.6
# Inches: least height of the figure, of all text above and below the mesh.
HEIGHT, TEXT = 2.2, 0.8
# Inches, of the colour bar: distance from the mesh, thickness, least length.
BELOW, BAR, LENGTH = 0.22, 0.07, 1.2
# Width of the mesh's lines as a share of a typical edge in print, and their largest in points.
MESH_SHARE, MESH_LINE = 0.05, 0.25
MESH_COLOR = "#56B4E9"
# Shares of the way from the middle of the mesh to its side: a point of the boundary nearer is in
# the middle of a side, one farther in both directions at a corner.
MIDDLE, CORNER = 0.3, 0.9


def plot_conductivity(
    image: ArrayLike,
    mesh: ImpedanceMesh | ElectricalImpedance,
    potentials: ArrayLike | None = None,
    data: ArrayLike | None = None,
    *,
    currents: Sequence[int] | None = None,
    limits: Sequence[float] | None = None,
) -> Figure:
    """A conductivity with the mesh; beside it measured and predicted potentials on the boundary.

    With an operator the conductivity of each triangle is drawn in S/m, as the operator sees the
    image; with a mesh the image itself. The numbers around the mesh are the boundary parameter,
    the share of the perimeter counterclockwise from the first boundary vertex.

    Parameters
    ----------
    image : array, shape (H, W) or (1, H, W)
        It covers the box around the mesh.
    mesh : ImpedanceMesh or ElectricalImpedance
    potentials : array, shape (P, M), optional
        Predicted for P currents at the M boundary vertices or electrodes, volts: a line each. With
        an operator and data by default those of the image.
    data : array, shape (P, M), optional
        Measured, volts: dots.
    currents : sequence of int, optional
        Those whose potentials are drawn, by default the first three.
    limits : (float, float), optional
        Conductivities drawn black and white; by default the lowest and highest.

    Returns
    -------
    matplotlib Figure
        Axes: the mesh, with the colour bar in it, and the potentials if there are any.

    Raises
    ------
    TypeError, ValueError
        If the mesh is none, or an array has a wrong shape or is not finite.
    """
    from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

    operator = mesh if isinstance(mesh, ElectricalImpedance) else None
    triangles = operator.mesh if operator is not None else mesh
    if not isinstance(triangles, ImpedanceMesh):
        raise TypeError(
            f"mesh must be an ImpedanceMesh or ElectricalImpedance, got {type(mesh).__name__}."
        )
    if operator is not None and data is not None and potentials is None:
        potentials = operator(as_tensor(image, "image", shape=operator.image_shape)).detach()
    abscissa = positions(triangles, operator)
    lines = as_potentials(potentials, "potentials", len(abscissa))
    dots = as_potentials(data, "data", len(abscissa))
    given = [values for values in (lines, dots) if values is not None]
    chosen = choose_currents(currents, given)

    width, height = np.ptp(triangles.nodes, axis=0)
    side = SIDE * height / max(width, height)
    ratios = [SIDE, PANEL] if given else [SIDE]
    figure = new_figure(sum(ratios) + (MARGIN if given else 0.1), max(side + TEXT, HEIGHT))
    body, *beside = figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
    if operator is not None:
        values = operator.conductivity(image).detach().numpy()
        label = "conductivity (S/m)"
        drawn = _triangles(body, triangles, values, grey_limits(limits, [values]))
    else:
        pixels = as_images(image, "image")
        if len(pixels) != 1:
            raise ValueError(f"image must be one image, got {len(pixels)}.")
        label = "image value"
        drawn = _pixels(body, triangles, pixels[0], grey_limits(limits, [pixels]))
    drawn.set_clip_path(_boundary(body, triangles))
    _color_bar(body, drawn, side, side * width / height, label)
    if given:
        draw_potentials(beside[0], abscissa, lines, dots, chosen)
    return figure


def _mesh_style(mesh: ImpedanceMesh) -> dict[str, Any]:
    """Lines thin enough to leave the triangles to see."""
    size = np.ptp(mesh.nodes, axis=0).max()
    edge = 72 * SIDE * np.sqrt(2 * mesh.areas.mean()) / size
    return {"linewidth": float(min(MESH_LINE, MESH_SHARE * edge)), "rasterized": True}


def _triangles(
    axis: Any, mesh: ImpedanceMesh, values: np.ndarray, limits: tuple[float, float]
) -> Any:
    return axis.tripcolor(
        *mesh.nodes.T,
        mesh.triangles,
        facecolors=values,
        cmap=grey(),
        vmin=limits[0],
        vmax=limits[1],
        edgecolors=MESH_COLOR,
        **_mesh_style(mesh),
    )


def _pixels(axis: Any, mesh: ImpedanceMesh, image: np.ndarray, limits: tuple[float, float]) -> Any:
    (left, low), (right, high) = mesh.bounds
    drawn = axis.imshow(
        image, cmap=grey(), vmin=limits[0], vmax=limits[1], extent=(left, right, low, high)
    )
    axis.triplot(*mesh.nodes.T, mesh.triangles, color=MESH_COLOR, **_mesh_style(mesh))
    return drawn


def _color_bar(axis: Any, drawn: Any, height: float, width: float, label: str) -> None:
    """A colour bar below a picture of that size in inches, as wide as it where there is room."""
    length = max(1.0, LENGTH / width)
    place = ((1 - length) / 2, -(BELOW + BAR) / height, length, BAR / height)
    color_bar([drawn], axis.inset_axes(place), label)


def _boundary(axis: Any, mesh: ImpedanceMesh) -> Any:
    """Draw the boundary, and write its parameter at the quarters."""
    points = mesh.nodes[mesh.boundary]
    (patch,) = axis.fill(*points.T, fill=False, edgecolor="black", linewidth=2 * LINE)
    low, high = mesh.bounds
    closed, parameter = np.vstack([points, points[:1]]), np.append(mesh.boundary_parameter, 1.0)
    for quarter in (0.0, 0.25, 0.5, 0.75):
        at = np.array([np.interp(quarter, parameter, closed[:, i]) for i in range(2)])
        place = (2 * at - low - high) / (high - low)
        side = np.where(np.abs(place) > MIDDLE, np.sign(place), 0).astype(int)
        if np.abs(place).min() > CORNER:
            # Above or below a corner, and not past it: the picture keeps its width.
            shift, align = (0, 3 * side[1]), -side[0]
        else:
            shift, align = tuple(3 * side), side[0]
        axis.annotate(
            f"{quarter:g}",
            at,
            xytext=shift,
            textcoords="offset points",
            ha=("center", "left", "right")[align],
            va=("center", "bottom", "top")[side[1]],
            fontsize=SMALL,
        )
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", anchor="N")
    axis.set_axis_off()
    return patch
