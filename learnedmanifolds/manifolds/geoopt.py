"""A learned manifold for geoopt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import torch
from torch import Size, Tensor

from learnedmanifolds._check import as_tensor, method
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.transition import inward
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.geometry import (
    RETRACTIONS,
    InducedMetric,
    LocalGeometry,
    Located,
    Retraction,
    squared_distance,
)
from learnedmanifolds.manifolds.source import as_atlas

try:
    import geoopt
except ImportError as error:
    message = "GeooptManifold needs geoopt: pip install 'learnedmanifolds[geoopt]'"
    raise ImportError(message) from error

_Verdict: TypeAlias = tuple[bool, str | None]


class GeooptManifold(geoopt.manifolds.base.Manifold):
    """An atlas, or a chart family, as a Riemannian submanifold of Euclidean space.

    Points are tensors (..., *ambient_shape), tangent vectors ambient tensors, of which the tangent
    part counts; batch shapes broadcast. Arguments have the dtype and device of the source; float64
    is recommended: ``atlas.to(torch.float64)``. `inner`, `norm`, `dist` and `dist2` are
    differentiable, other results carry no graph. The charts are constants: no part of a
    ``state_dict``, but ``to``, ``double`` and the like convert them.

    Parameters
    ----------
    source : Atlas or Charts
    retraction : Retraction or {"second-order", "chart", "projection", "exponential"}
        What `retr`, and with it geoopt's optimizers, step by; see
        `learnedmanifolds.geometry.Retraction`.

    Raises
    ------
    TypeError, ValueError
        Here or in any method, if an argument has the wrong type, dtype, device, shape or value, or
        if a point is farther from the manifold than the tolerance of the atlas.
    """

    name = "Learned"
    reversible = False

    def __init__(
        self, source: Atlas | Charts, retraction: str | Retraction = "second-order"
    ) -> None:
        super().__init__()
        source = as_atlas(source)
        self._retraction = method(retraction, "retraction", Retraction, RETRACTIONS)
        self.atlas = source
        self.ndim = len(source.ambient_shape)

    @property
    def device(self) -> torch.device:
        """Device of points."""
        return self.atlas.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of points."""
        return self.atlas.dtype

    def extra_repr(self) -> str:
        """What the atlas is made of."""
        return repr(self.atlas)

    def inner(
        self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False
    ) -> Tensor:
        """Euclidean inner product, (...), or (..., 1, ..., 1) with ``keepdim``; ``x`` gives its shape."""
        v = u if v is None else v
        batch = self._batch(x=x, u=u, v=v)
        return self._scalars((self._rows(u, batch) * self._rows(v, batch)).sum(-1), batch, keepdim)

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Euclidean norm, see `inner`; its gradient at 0 is 0."""
        batch = self._batch(x=x, u=u)
        return self._scalars(self._rows(u, batch).norm(dim=-1), batch, keepdim)

    @torch.no_grad()
    def projx(self, x: Tensor) -> Tensor:
        """Nearest points of the manifold."""
        batch = self._batch(x=x)
        return self._points(self.atlas.nearest_flat(self._rows(x, batch)), batch)

    @torch.no_grad()
    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """Orthogonal projection of ambient vectors on the tangent spaces."""
        batch = self._batch(x=x, u=u)
        return self._ambient(self._at(x, "x", batch).project(self._rows(u, batch)), batch)

    @torch.no_grad()
    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """P grad f; on a boundary of the manifold, minus what descent along it cannot follow."""
        batch = self._batch(x=x, u=u)
        local = self._at(x, "x", batch)
        descent = -local.project(self._rows(u, batch))
        return self._ambient(
            -inward(self.atlas, local, descent) if len(descent) else descent, batch
        )

    @torch.no_grad()
    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """Ends of tangent vectors by the retraction; all but "exponential" slide along a boundary."""
        batch = self._batch(x=x, u=u)
        return self._points(self._step(x, u, batch), batch)

    @torch.no_grad()
    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """Ends of geodesics at time 1; `BoundaryError` if one leaves the manifold on the way."""
        batch = self._batch(x=x, u=u)
        start = self._at(x, "x", batch).located
        return self._points(InducedMetric(self.atlas).exp(start, self._rows(u, batch)), batch)

    @torch.no_grad()
    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """Initial velocities of shortest geodesics; `BoundaryError` if a pair has none."""
        batch = self._batch(x=x, y=y)
        ends = self._at(x, "x", batch).located, self._at(y, "y", batch).located
        return self._ambient(InducedMetric(self.atlas).log(*ends), batch)

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Lengths of shortest paths, see `dist2`; not differentiable where the points agree."""
        return self.dist2(x, y, keepdim=keepdim).sqrt()

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Their squares, shaped as of `inner`; infinite between components.

        Differentiable once: the gradient is -2 log_x y, NaN where no geodesic joins the points.
        """
        batch = self._batch(x=x, y=y)
        ends = self._at(x, "x", batch).located, self._at(y, "y", batch).located
        rows = self._rows(x, batch), self._rows(y, batch)
        square = squared_distance(InducedMetric(self.atlas), *ends, *rows)
        return self._scalars(square, batch, keepdim)

    @torch.no_grad()
    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Transport by projection on the tangent spaces at ``y``; ``x`` gives its shape alone."""
        batch = self._batch(x=x, y=y, v=v)
        return self._ambient(self._at(y, "y", batch).project(self._rows(v, batch)), batch)

    @torch.no_grad()
    def retr_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """`retr` of ``u``, and ``v`` projected on the tangent spaces there."""
        batch = self._batch(x=x, u=u, v=v)
        chart, coords = self._step(x, u, batch)
        there = LocalGeometry(self.atlas, coords, chart, first_order=True)
        vector = there.project(self._rows(v, batch))
        return self._ambient(there.point, batch), self._ambient(vector, batch)

    def transp_follow_retr(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The vectors of `retr_transp`."""
        return self.retr_transp(x, u, v)[1]

    @torch.no_grad()
    def expmap_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """`expmap` of ``u``, and ``v`` in parallel transport along the geodesics."""
        batch = self._batch(x=x, u=u, v=v)
        start, along = self._at(x, "x", batch).located, self._rows(u, batch)
        vectors = self._rows(v, batch).unsqueeze(1)
        end, moved = InducedMetric(self.atlas).parallel_transport(vectors, start, along)
        return self._points(end, batch), self._ambient(moved, batch)

    def transp_follow_expmap(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The vectors of `expmap_transp`."""
        return self.expmap_transp(x, u, v)[1]

    @torch.no_grad()
    def random(
        self,
        *size: Any,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = None,
    ) -> geoopt.ManifoldTensor:
        """Random points of a size (..., *ambient_shape) by the learned density, see `Atlas.sample`.

        Without a seed by fresh entropy: torch's global generator has no part in it.
        """
        shape = geoopt.utils.size2shape(*size)
        self._assert_check_shape(shape, "size")
        like = torch.empty(0, dtype=dtype or self.dtype, device=device or self.device)
        self._check_kind(like, "the sample")
        batch = Size(shape[: -self.ndim])
        # No sample is empty, but a batch may be.
        located = self.atlas.sample_coords(max(1, batch.numel()), seed)
        chart, coords = (part[: batch.numel()] for part in located)
        return geoopt.ManifoldTensor(self._points(Located(chart, coords), batch), manifold=self)

    def origin(self, *size: Any, seed: int | None = 42, **options: Any) -> geoopt.ManifoldTensor:
        """`random` of a fixed seed."""
        return self.random(*size, seed=seed, **options)

    def _check_kind(self, value: Tensor, name: str) -> None:
        if (value.dtype, value.device) != (self.dtype, self.device):
            raise TypeError(
                f"{name} must be {self.dtype} on {self.device} as the manifold is, got "
                f"{value.dtype} on {value.device}; the manifold has a method `to`."
            )

    def _batch(self, **tensors: Tensor) -> Size:
        """Check arguments; the batch shape that theirs broadcast to."""
        for name, value in tensors.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(value).__name__}.")
            self._check_kind(value, name)
            as_tensor(value, name, shape=(..., *self.atlas.ambient_shape))
        shapes = {name: tuple(value.shape[: -self.ndim]) for name, value in tensors.items()}
        try:
            return torch.broadcast_shapes(*shapes.values())
        except RuntimeError as error:
            raise ValueError(f"batch shapes must broadcast, got {shapes}.") from error

    def _rows(self, value: Tensor, batch: Size) -> Tensor:
        whole = value.expand(*batch, *self.atlas.ambient_shape)
        return whole.reshape(batch.numel(), self.atlas.charts.n_ambient)

    def _at(self, x: Tensor, name: str, batch: Size, first_order: bool = True) -> LocalGeometry:
        """Geometry at points, each looked for once, as often as the batch repeats it."""
        own = x.shape[: -self.ndim]
        found = self.atlas.find(x.detach().reshape(own.numel(), *self.atlas.ambient_shape), name)
        index = torch.arange(own.numel(), device=x.device).view(own).expand(batch).flatten()
        chart, coords = (part[index] for part in found)
        return LocalGeometry(self.atlas, coords, chart, first_order=first_order)

    def _step(self, x: Tensor, u: Tensor, batch: Size) -> Located:
        local = self._at(x, "x", batch, first_order=False)
        return self._retraction(self.atlas, local, self._rows(u, batch))

    def _points(self, at: Located, batch: Size) -> Tensor:
        return self._ambient(self.atlas.decode(at.coords, at.chart), batch)

    def _ambient(self, rows: Tensor, batch: Size) -> Tensor:
        return rows.reshape(*batch, *self.atlas.ambient_shape)

    def _scalars(self, values: Tensor, batch: Size, keepdim: bool) -> Tensor:
        return values.reshape((*batch, *(1,) * self.ndim) if keepdim else batch)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What `to`, `double`, `cuda` of this module, or of one that holds it, come down to.
        moved = copy.copy(self.atlas)
        moved.charts, moved.weights = copy.deepcopy(moved.charts)._apply(fn), fn(moved.weights)
        self.atlas = moved
        return super()._apply(fn, recurse)

    def _check_shape(self, shape: tuple[int, ...], name: str) -> _Verdict:
        expected = self.atlas.ambient_shape
        reason = f"{name} must have a shape that ends in {expected}, got {tuple(shape)}."
        return (True, None) if tuple(shape[-self.ndim :]) == expected else (False, reason)

    def _check_point_on_manifold(self, x: Tensor, **tol: float) -> _Verdict:
        return _same(lambda: self.projx(x), x, "x is off the manifold", **tol)

    def _check_vector_on_tangent(self, x: Tensor, u: Tensor, **tol: float) -> _Verdict:
        # At the nearest point: whether x is on the manifold is another check.
        return _same(lambda: self.proju(self.projx(x), u), u, "u is not tangent", **tol)


def _same(
    projected: Callable[[], Tensor], value: Tensor, reason: str, atol: float, rtol: float
) -> _Verdict:
    """Whether a projection leaves a value as it is; if not, why."""
    try:
        gap = (projected() - value).abs()
    except (TypeError, ValueError) as error:
        return False, str(error)
    if bool((gap <= atol + rtol * value.abs()).all()):
        return True, None
    return False, f"{reason}: entries by up to {float(gap.max()):.3g}, atol={atol}, rtol={rtol}"
