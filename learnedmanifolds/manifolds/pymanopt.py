"""A learned manifold for pymanopt."""

from __future__ import annotations

import numpy as np
import torch
from pymanopt.manifolds.manifold import RiemannianSubmanifold
from torch import Tensor

from learnedmanifolds._check import ArrayLike, integer, method, one_of, require_finite
from learnedmanifolds._convert import to_dtype, to_tensor
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.transition import inward
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.geometry import (
    RETRACTIONS,
    TRANSPORTS,
    InducedMetric,
    LocalGeometry,
    Located,
    Retraction,
    Transport,
)
from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.manifolds.source import as_atlas


class PymanoptManifold(RiemannianSubmanifold):
    """An atlas, or a chart family, as a Riemannian submanifold of Euclidean space.

    Points are NumPy arrays of the ambient shape (`AtlasPoint`) that remember their chart; any
    other array that lies on the manifold is located first. Tangent vectors are ambient arrays.

    Vectors are real arrays of the ambient shape, else they are refused with `TypeError` or
    `ValueError`. Retractions, `exp` and transports refuse NaN and infinity too; projections and
    the other maps that are linear in a vector carry them on, by which optimizers see that a
    derivative is not finite.

    Parameters
    ----------
    source : Atlas or Charts
        Copied, and evaluated in float64 on the CPU, as pymanopt works.
    retraction : Retraction or {"second-order", "chart", "projection", "exponential"}
        See `learnedmanifolds.geometry.Retraction`.
    transport : Transport or {"projection", "differentiated", "parallel"}
        See `learnedmanifolds.geometry.Transport`.
    distance : {"geodesic", "chordal"}
        What `dist`, `log` and `pair_mean` are: of the Riemannian metric; or the distance in the
        ambient space, minus the gradient of half its square, and the point nearest to the middle of
        the chord, which pymanopt's derivative-free optimizers ask for very often, and which are
        much faster.
    seed : int, optional
        Seed of `random_point` and `random_tangent_vector`; fresh entropy by default.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    """

    def __init__(
        self,
        source: Atlas | Charts,
        retraction: str | Retraction = "second-order",
        seed: int | None = None,
        *,
        transport: str | Transport = "projection",
        distance: str = "geodesic",
    ) -> None:
        source = as_atlas(source)
        self._retraction = method(retraction, "retraction", Retraction, RETRACTIONS)
        self._transport = method(transport, "transport", Transport, TRANSPORTS)
        # A line search may try a step that overflows, and goes back from the NaN that it leads to.
        self._takes_any_step = False
        self._distance = one_of(distance, "distance", ("geodesic", "chordal"))
        self.atlas = source.to(torch.float64).to("cpu")
        self._metric = InducedMetric(self.atlas)
        if seed is not None:
            integer(seed, "seed", minimum=0)
        self._random = np.random.default_rng(seed)
        super().__init__(
            f"learned manifold of {self.atlas.n_charts} charts, dimension {self.atlas.dim}, "
            f"in R^{self.atlas.ambient_shape}",
            self.atlas.dim,
        )

    @property
    def typical_dist(self) -> float:
        """Half the diagonal of the cube that holds a sample: the manifold's size, in data units."""
        return self.atlas.half_diagonal

    def point(self, coords: np.ndarray, chart: int) -> AtlasPoint:
        """The point with coordinates (d,) in a chart."""
        place = self.atlas.geometry(np.asarray(coords)[None], chart)
        if float(place.coords.abs().max()) > 1:
            raise ValueError(f"coords must be in the chart's box [-1, 1], got {coords}.")
        return self._place(Located(torch.tensor([int(chart)]), place.coords))

    def locate(self, point: np.ndarray) -> AtlasPoint:
        """The point of the manifold that an array stands for.

        Raises
        ------
        ValueError
            If the array has another shape, or is off the manifold by more than the tolerance.
        """
        return self._place(self.atlas.find(np.asarray(point)[None], "point"))

    def inner_product(
        self, point: np.ndarray, tangent_vector_a: np.ndarray, tangent_vector_b: np.ndarray
    ) -> float:
        """Euclidean inner product of the ambient vectors."""
        a = self._array(tangent_vector_a, "tangent_vector_a")
        return float(np.vdot(a, self._array(tangent_vector_b, "tangent_vector_b")))

    def norm(self, point: np.ndarray, tangent_vector: np.ndarray) -> float:
        """Euclidean norm of the ambient vector."""
        vector = self._array(tangent_vector, "tangent_vector")
        return float(np.sqrt(np.vdot(vector, vector)))

    def projection(self, point: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Orthogonal projection of an ambient vector on the tangent space; NaN of NaN."""
        return self._numpy(self._local(point).project(self._vector(vector, "vector")))

    to_tangent_space = projection

    def random_point(self) -> AtlasPoint:
        """A random point: a chart by its weight, coordinates by its latent density."""
        return self._place(self.atlas.sample_coords(1, int(self._random.integers(2**62))))

    def random_tangent_vector(self, point: np.ndarray) -> np.ndarray:
        """A tangent vector of norm 1, its direction uniform."""
        local = self._local(point)
        normal = torch.from_numpy(self._random.standard_normal((1, self.dim)))
        direction = (local.tangent_basis @ normal.unsqueeze(-1)).squeeze(-1)
        return self._numpy(direction / direction.norm())

    def zero_vector(self, point: np.ndarray) -> np.ndarray:
        """Zero of the tangent space."""
        return np.zeros(self.atlas.ambient_shape)

    def retraction(self, point: np.ndarray, tangent_vector: np.ndarray) -> AtlasPoint:
        """The point reached along a tangent vector, through the charts that the step crosses.

        Raises
        ------
        ValueError
            If the vector is not finite.
        """
        local, step = self._local(point), self._finite(tangent_vector, "tangent_vector")
        return self._place(self._retraction(self.atlas, local, step))

    def exp(self, point: np.ndarray, tangent_vector: np.ndarray) -> AtlasPoint:
        """End of the geodesic at time 1, through the charts that it crosses.

        Raises
        ------
        BoundaryError
            If the geodesic leaves the manifold through its boundary.
        """
        local, step = self._local(point), self._vector(tangent_vector, "tangent_vector")
        return self._place(self._metric.exp(local.located, step))

    def transport(
        self, point_a: np.ndarray, point_b: np.ndarray, tangent_vector_a: np.ndarray
    ) -> np.ndarray:
        """Vector transport of a tangent vector at ``point_a`` to ``point_b``.

        Raises
        ------
        ValueError
            If the vector is not finite.
        """
        a, b = self._local(point_a), self._local(point_b)
        vector = self._finite(tangent_vector_a, "tangent_vector_a")
        return self._numpy(self._transport.to(self.atlas, a, b, vector))

    def weingarten(
        self, point: np.ndarray, tangent_vector: np.ndarray, normal_vector: np.ndarray
    ) -> np.ndarray:
        """Weingarten map of a normal vector applied to a tangent vector."""
        tangent = self._vector(tangent_vector, "tangent_vector")
        normal = self._vector(normal_vector, "normal_vector")
        return self._numpy(self._local(point).weingarten(tangent, normal))

    def euclidean_to_riemannian_gradient(
        self, point: np.ndarray, euclidean_gradient: np.ndarray
    ) -> np.ndarray:
        """P grad f; on a boundary of the manifold, minus what descent along it cannot follow.

        There, minus the result is the projection of minus P grad f on the tangent cone, which
        vanishes at a minimiser on the boundary.
        """
        local = self._local(point)
        gradient = local.project(self._vector(euclidean_gradient, "euclidean_gradient"))
        return self._numpy(-inward(self.atlas, local, -gradient))

    def euclidean_to_riemannian_hessian(
        self,
        point: np.ndarray,
        euclidean_gradient: np.ndarray,
        euclidean_hessian: np.ndarray,
        tangent_vector: np.ndarray,
    ) -> np.ndarray:
        """P (Hess f [h]) + W(h, (I - P) grad f)."""
        gradient = self._vector(euclidean_gradient, "euclidean_gradient")
        hessian = self._vector(euclidean_hessian, "euclidean_hessian")
        vector = self._vector(tangent_vector, "tangent_vector")
        return self._numpy(self._local(point).riemannian_hessian(gradient, hessian, vector))

    def dist(self, point_a: np.ndarray, point_b: np.ndarray) -> float:
        """Length of the shortest path, infinity between components; see ``distance``."""
        if self._distance == "chordal":
            return float(np.linalg.norm(self._chord(point_a, point_b)))
        a, b = self._local(point_a), self._local(point_b)
        return float(self._metric.dist(a.located, b.located))

    def log(self, point_a: np.ndarray, point_b: np.ndarray) -> np.ndarray:
        """Initial velocity of the shortest geodesic; see ``distance``.

        Raises
        ------
        BoundaryError
            If the points lie in two components, or no geodesic between them was found.
        """
        a = self._local(point_a)
        if self._distance == "chordal":
            return self.projection(point_a, self._chord(point_a, point_b))
        return self._numpy(self._metric.log(a.located, self._local(point_b).located))

    def pair_mean(self, point_a: np.ndarray, point_b: np.ndarray) -> AtlasPoint:
        """The middle of the shortest geodesic; see ``distance``."""
        if self._distance == "chordal":
            chord = self._finite(self._chord(point_a, point_b), "the chord of point_a and point_b")
            start = self._vector(point_a, "point_a")
            return self._place(self.atlas.nearest_flat(start + 0.5 * chord))
        return self.exp(point_a, 0.5 * self.log(point_a, point_b))

    def _place(self, located: Located) -> AtlasPoint:
        chart = int(located.chart[0])
        value = self.atlas.charts.decode(located.coords, chart)
        point = value.view(self.atlas.ambient_shape).numpy().view(AtlasPoint)
        point.local = self._geometry(located)
        return point

    def _geometry(self, located: Located) -> LocalGeometry:
        return LocalGeometry(self.atlas, located.coords, int(located.chart[0]))

    def _local(self, point: np.ndarray) -> LocalGeometry:
        local = point.local if isinstance(point, AtlasPoint) else None
        if local is not None and local.source is self.atlas:
            return local
        return self._geometry(self.atlas.find(np.asarray(point)[None], "point"))

    def _chord(self, point_a: ArrayLike, point_b: ArrayLike) -> np.ndarray:
        return self._array(point_b, "point_b") - self._array(point_a, "point_a")

    def _array(self, vector: ArrayLike, name: str) -> np.ndarray:
        """A checked array of real numbers, of the ambient shape; finite or not."""
        array = vector if isinstance(vector, np.ndarray) else np.empty(0, np.float32)
        if array.dtype != np.float64:
            array = to_dtype(to_tensor(vector, name), name, torch.float64).detach().cpu().numpy()
        if array.shape != self.atlas.ambient_shape:
            raise ValueError(
                f"{name} must have the ambient shape {self.atlas.ambient_shape}, got {array.shape}."
            )
        return array.view(np.ndarray)

    def _vector(self, vector: ArrayLike, name: str) -> Tensor:
        array = self._array(vector, name)
        # torch takes neither reversed nor read-only arrays.
        if not (array.flags.c_contiguous and array.flags.writeable):
            array = array.copy()
        return torch.from_numpy(array).reshape(1, -1)

    def _finite(self, vector: ArrayLike, name: str) -> Tensor:
        checked = self._vector(vector, name)
        # NumPy asks ten times as fast for small arrays; torch names the place.
        if not (self._takes_any_step or np.isfinite(checked.numpy()).all()):
            require_finite(checked.view(self.atlas.ambient_shape), name)
        return checked

    def _numpy(self, vector: Tensor) -> np.ndarray:
        return vector.view(self.atlas.ambient_shape).numpy()
