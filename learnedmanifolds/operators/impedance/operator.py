"""Electrical impedance tomography: from an image of the conductivity to border potentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, one_of, positive
from learnedmanifolds.operators.base import Linearization, Operator
from learnedmanifolds.operators.impedance import currents as densities
from learnedmanifolds.operators.impedance.assembly import SparseMap
from learnedmanifolds.operators.impedance.boundary import boundary_mass
from learnedmanifolds.operators.impedance.electrodes import Electrodes
from learnedmanifolds.operators.impedance.linearization import linearize
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh, frozen
from learnedmanifolds.operators.impedance.pixels import area_average, midpoint_pixel
from learnedmanifolds.operators.impedance.solve import Evaluation, potentials, product
from learnedmanifolds.operators.impedance.system import System

PIXELS = {"area": area_average, "midpoint": midpoint_pixel}
CURRENTS = {"balanced": densities.balanced, "published": densities.published}
# Of a corner of the mesh from that of the image, as a share of the image.
RIM = 1e-6


def _default_mesh() -> ImpedanceMesh:
    return ImpedanceMesh.rectangle(64)


@dataclass(frozen=True, eq=False)
class ElectricalImpedance(Operator):
    """Potentials on the border of a body whose conductivity is an image.

    -div(sigma grad u_i) = 0 in the body for currents i = 1, 2, ... through its border, with
    sigma = scale * image + offset, by linear finite elements. With continuum currents g_i,
    sigma du_i/dn = g_i; observed are the u_i at the border vertices of the mesh, counterclockwise
    from the one nearest to the lower right corner, with mean zero on the border. With electrodes
    (`Electrodes`, the complete electrode model) observed are their potentials, with sum zero.

    One sparse factorization serves all currents, all adjoint problems and all derivatives at a
    conductivity; those of the last two conductivities are kept. Float64 inside; the result has the
    dtype of the image.

    Parameters
    ----------
    mesh : ImpedanceMesh
        As wide and high as the image; the unit square in 8,192 triangles by default.
    image_shape : tuple of int
        Shape of a point, (H, W) or (1, H, W). Row 0 is on top.
    currents : str or array, optional
        "balanced" (the default): 15 Haar patterns on 16 segments of the border of equal angle
        around the image's centre, integrated exactly, each without net current. "published":
        the same read off at the border vertices, the net current that this leaves drawn off
        evenly over the body. An array (P, M): A/m at the M border vertices, linear in between.
        With electrodes an array (P, L): amperes into each, by default from each into the next.
    electrodes : Electrodes, optional
    scale, offset : float
        S/m per unit of the image, and S/m.
    pixels : str
        "area": a triangle has the mean of the image over it. "midpoint": the pixel under its
        midpoint.
    extent : tuple of float
        Width and height of the image, metres; its lower left corner is the origin.
    threads : int, optional
        For several conductivities at once; as many as torch uses by default.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type, shape or name, the mesh does not cover the image, or a
        current does not sum to zero where it must.
    """

    mesh: ImpedanceMesh = field(default_factory=_default_mesh)
    image_shape: tuple[int, ...] = (128, 128)
    _: KW_ONLY
    currents: str | ArrayLike | None = None
    electrodes: Electrodes | None = None
    scale: float = 1.0
    offset: float = 0.0
    pixels: str = "area"
    extent: tuple[float, float] = (1.0, 1.0)
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mesh, ImpedanceMesh):
            raise TypeError(f"mesh must be an ImpedanceMesh, got {type(self.mesh).__name__}.")
        if not isinstance(self.electrodes, (Electrodes, type(None))):
            raise TypeError(
                f"electrodes must be Electrodes or None, got {type(self.electrodes).__name__}."
            )
        if not isinstance(self.image_shape, (tuple, list)):
            raise TypeError(f"image_shape must be a tuple, got {type(self.image_shape).__name__}.")
        shape = tuple(integer(size, "image_shape", minimum=1) for size in self.image_shape)
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1):
            raise ValueError(f"image_shape must be (H, W) or (1, H, W), got {shape}.")
        object.__setattr__(self, "image_shape", shape)
        for name in ("scale", "offset"):
            value = float(as_tensor(getattr(self, name), name, dtype=torch.float64, shape=()))
            object.__setattr__(self, name, value)
        one_of(self.pixels, "pixels", PIXELS)
        if self.threads is not None:
            integer(self.threads, "threads", minimum=1)
        if not isinstance(self.currents, (str, type(None))):
            given = as_tensor(self.currents, "currents", dtype=torch.float64).detach().cpu()
            object.__setattr__(self, "currents", frozen(given.numpy()))
        if not isinstance(self.extent, (tuple, list)) or len(self.extent) != 2:
            raise TypeError(f"extent must be (width, height) in metres, got {self.extent!r}.")
        size = (positive(self.extent[0], "extent"), positive(self.extent[1], "extent"))
        object.__setattr__(self, "extent", size)
        low, high = self.mesh.bounds
        if max(np.abs(low / size).max(), np.abs(high / size - 1).max()) > RIM:
            raise ValueError(
                f"mesh must cover the image, from (0, 0) to ({size[0]:g}, {size[1]:g}) metres, "
                f"got a mesh from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g})."
            )
        # Built here, so that currents that do not fit are refused here.
        _ = self._system

    @classmethod
    def published(
        cls, nodes: ArrayLike, triangles: ArrayLike, *, image_shape: tuple[int, ...] = (128, 128)
    ) -> ElectricalImpedance:
        """The published problem on a mesh of the unit square, for comparison.

        Currents read off at the vertices, conductivity 1.6 * image + 0.2 at the triangles'
        midpoints. G. S. Alberti, J. Hertrich, M. Santacesaria, S. Sciutto, "Manifold Learning by
        Mixture Models of VAEs for Inverse Problems", JMLR 25 (2024), section 6.

        Parameters
        ----------
        nodes : array, shape (N, 2)
        triangles : array of int, shape (T, 3)
            The order of a triangle's vertices does not matter, their numbers do: see
            `pixels.midpoint_pixel`.
        image_shape : tuple of int
        """
        return cls(
            ImpedanceMesh(np.asarray(nodes), np.asarray(triangles)),
            image_shape,
            currents="published",
            scale=1.6,
            offset=0.2,
            pixels="midpoint",
        )

    @property
    def observation_shape(self) -> tuple[int, int]:
        """(currents, border vertices) or (currents, electrodes)."""
        system = self._system
        return system.loads.shape[1], system.observe.forward.shape[0]

    @property
    def n_factorizations(self) -> int:
        """How many sparse factorizations were made so far."""
        return self._system.n_factorizations

    def batch(self, points: Tensor) -> Tensor:
        """Potentials for many images, (N, *image_shape) -> (N, currents, vertices or electrodes).

        Differentiable by torch, any number of times.

        Raises
        ------
        TypeError, ValueError
            If an image has another shape or holds NaN.
        OutsideDomainError
            If one gives a conductivity that is not positive, a `ValueError` as well.
        """
        images = _floating(as_tensor(points, "image", shape=(None, *self.image_shape)))
        if not len(images):
            return images.new_zeros(0, *self.observation_shape)
        sigma = self._conductivity(images)
        keep = torch.is_grad_enabled() and sigma.requires_grad
        solution = potentials(Evaluation(self._system, keep), sigma)
        values = product(self._system.observe, solution).mT
        weights = torch.from_numpy(self._weights)
        return (values - (values * weights).sum(-1, keepdim=True)).to(images)

    def linearize(self, point: ArrayLike) -> Linearization:
        """See `Operator.linearize`: no factorization beyond that of the point's own potentials."""
        image = self._image(point).detach()
        sigma = self._conductivity(image).numpy()[0]
        return linearize(
            self._system.state(sigma),
            self._system,
            self._pixel_map,
            self.scale,
            self._weights,
            self.image_shape,
            image.dtype,
        )

    def conductivity(self, image: ArrayLike) -> Tensor:
        """Conductivity of each triangle, S/m, (T,) float64; differentiable."""
        return self._conductivity(self._image(image))[0]

    def misfit(self, image: ArrayLike, data: ArrayLike) -> Tensor:
        """Squared distance between the potentials of an image and data, a scalar tensor.

        sum_i of the integral of (u_i - data_i)^2 along the border, V^2 m, exact for functions
        that are linear between the border vertices; with electrodes the sum of (U_i - data_i)^2
        over them, V^2. Differentiable in the image and the data.

        Parameters
        ----------
        image : array, image_shape
        data : array, shape (currents, border vertices) or (currents, electrodes)

        Raises
        ------
        TypeError, ValueError
            If the image or the data have another shape or hold NaN, or the conductivity is not
            positive.
        """
        values = as_tensor(data, "data", dtype=torch.float64, shape=self.observation_shape)
        residual = self.batch(self._image(image))[0] - values
        if self.electrodes is not None:
            return residual.square().sum()
        length = torch.from_numpy(self.mesh.boundary_lengths)
        after = residual.roll(-1, -1)
        return (length * (residual.square() + residual * after + after.square())).sum() / 3

    def __getstate__(self) -> dict[str, Any]:
        # Factorizations do not travel; they are made again where they are needed.
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def _image(self, image: ArrayLike) -> Tensor:
        return _floating(as_tensor(image, "image", shape=self.image_shape)).unsqueeze(0)

    def _conductivity(self, images: Tensor) -> Tensor:
        columns = images.to(device="cpu", dtype=torch.float64).reshape(len(images), -1, 1)
        return self.scale * product(self._pixel_map, columns).squeeze(-1) + self.offset

    @cached_property
    def _pixel_map(self) -> SparseMap:
        height, width = self.image_shape[-2:]
        return SparseMap.of(PIXELS[self.pixels](self.mesh, (height, width), self.extent))

    @cached_property
    def _weights(self) -> np.ndarray:
        """Of the observed potentials in the mean that is zero."""
        if self.electrodes is not None:
            return np.full(len(self.electrodes), 1 / len(self.electrodes))
        ones = np.ones((1, len(self.mesh.boundary)))
        return boundary_mass(self.mesh, ones)[0] / self.mesh.perimeter

    @cached_property
    def _system(self) -> System:
        mesh, nodes = self.mesh, len(self.mesh.nodes)
        if self.electrodes is not None:
            if isinstance(self.currents, str):
                raise TypeError(
                    f"currents through electrodes must be an array (patterns, "
                    f"{len(self.electrodes)}) or None, got {self.currents!r}."
                )
            patterns = self.electrodes.patterns(self.currents)
            loads = np.concatenate([np.zeros((nodes, len(patterns))), patterns.T])
            observed = nodes + np.arange(len(self.electrodes))
            return System(mesh, loads, observed, self.electrodes.contact_matrix(mesh), self.threads)
        loads = np.zeros((nodes, len(border := self._border_loads())))
        loads[mesh.boundary] = border.T
        # Only the published currents leave anything to draw off.
        loads -= np.outer(mesh.hat_integrals / mesh.areas.sum(), border.sum(1))
        return System(mesh, loads, mesh.boundary, None, self.threads)

    def _border_loads(self) -> np.ndarray:
        chosen = "balanced" if self.currents is None else self.currents
        if not isinstance(chosen, str):
            return densities.sampled(self.mesh, chosen)
        make: Callable[..., np.ndarray] = CURRENTS[one_of(chosen, "currents", CURRENTS)]
        return make(self.mesh, np.array(self.extent) / 2)


def _floating(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else images.to(torch.float64)
