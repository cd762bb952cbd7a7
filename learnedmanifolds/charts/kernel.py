"""Kernel charts: decoders linear in their weights, trusted where their posterior variance is small."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import AnchoredCharts, nearest_gaps
from learnedmanifolds.charts.domain import Chart, Domain, Walls
from learnedmanifolds.charts.jet import Jet, Pairs

# Beyond this coordinate nothing is trusted, whatever the variance: domains are inside the box.
_EDGE = 0.95
_PULLS, _HALVINGS = 6, 50
TREND = 30.0
"""Factor of the constant and linear features."""
_AHEAD, _LONGEST = 1e-6, 0.2
_ROUNDINGS = 4096
# Depth up to which the latent density falls, and how fast, in nats.
_SHELL, _FALL = 0.2, 15.0
# Of the tensors that charts are made of, one letter an axis; F = 1 + d + m.
_SHAPES = {
    "center": "n",
    "weights": "KFn",
    "centers": "Kmd",
    "width": "K",
    "domain_width": "K",
    "prior": "Kmm",
    "root": "Kmm",
    "limit": "K",
    "codes": "KAd",
}
_POSITIVE = ("width", "domain_width", "limit")
# Sizes beyond which derivatives and distances would take far more room than the tensors.
_MOST = {"d": 16, "A": 4096}
# Coordinates that codes may have: those of a fit may leave the box by a little.
_FARTHEST = 1.2
# Kinds of devices that have no float64.
_SINGLE = {"mps"}


class KernelFeatures:
    """phi(t) = (a, a t, exp(-|t - c_j|^2 / (2 w^2))), F = 1 + d + m features a chart.

    The factor a makes a ridge that bends little also shrink little. Features are in the dtype of the
    centres, whatever that of the coordinates.

    Parameters
    ----------
    centers : Tensor, shape (K, m, d)
    width : Tensor, shape (K,)
        w.
    """

    def __init__(self, centers: Tensor, width: Tensor) -> None:
        self.centers, self.width = centers, width

    def _of(self, chart: Chart) -> tuple[Tensor, Tensor]:
        """Centres (m, d), (K, m, d) or, of each point, (N, m, d), and squared widths."""
        if chart is None:
            return self.centers, self.width.square().view(-1, 1, 1)
        if isinstance(chart, int):
            return self.centers[chart], self.width[chart].square()
        return self.centers[chart], self.width[chart].square().unsqueeze(-1)

    def bumps(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor, Tensor]:
        """Bumps (..., N, m), and the centres and squared widths that they are of."""
        coords = coords.to(self.centers.dtype)
        centers, square = self._of(chart)
        length = centers.square().sum(-1)
        length = length if centers.dim() == coords.dim() + 1 else length.unsqueeze(-2)
        gap = coords.square().sum(-1, keepdim=True) - 2 * _products(coords, centers) + length
        return torch.exp(gap / (-2 * square)), centers, square

    def __call__(self, coords: Tensor, chart: Chart) -> Tensor:
        """Features (..., N, F) at coordinates (..., N, d)."""
        bump, _, _ = self.bumps(coords, chart)
        coords = coords.to(bump)
        return torch.cat([torch.full_like(coords[..., :1], TREND), TREND * coords, bump], -1)

    def jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs) -> Tensor:
        """Rows (..., 1 + T + P, N, F): features, first and second derivatives, in closed form."""
        bump, centers, square = self.bumps(coords, chart)
        coords, tangents = coords.to(bump), tangents.to(bump)
        none, flat = torch.zeros_like(coords[..., :1]), torch.zeros_like(coords)
        rows = [torch.cat([torch.full_like(none, TREND), TREND * coords, bump], -1)]
        slopes = []
        for tangent in tangents.unbind(-3):
            # How the squared distance from each centre grows along the tangent, halved.
            own = (coords * tangent).sum(-1, keepdim=True)
            slopes.append(own - _products(tangent, centers))
            rows.append(torch.cat([none, TREND * tangent, bump * slopes[-1] / -square], -1))
        for i, j in pairs:
            product = (tangents.select(-3, i) * tangents.select(-3, j)).sum(-1, keepdim=True)
            bend = (slopes[i] * slopes[j] / square - product) / square
            rows.append(torch.cat([none, flat, bump * bend], -1))
        return torch.stack(rows, -3)


def _products(vectors: Tensor, centers: Tensor) -> Tensor:
    """Products (..., N, m) of vectors (..., N, d) with the centres of their charts."""
    if centers.dim() == vectors.dim() + 1:
        return (centers @ vectors.unsqueeze(-1)).squeeze(-1)
    return vectors @ centers.mT


class VarianceDomain(Domain):
    """Where a Gaussian process has data: its posterior variance is below a limit.

    With bumps k(t) at the centres, C their values at the centres, B at the data, s^2 the variance of the
    noise and H = C + B' B / s^2, it is 1 - k' C^-1 k + k' H^-1 k, 1 far from all data. The first two
    terms see where no centre is near, which the last alone, as the leverage of a regression, takes for
    certain. The depth is what is left of the limit, 1 - variance / limit.

    Parameters
    ----------
    features : KernelFeatures
    prior, root : Tensor, shape (K, m, m)
        Roots P and L, P P' = C^-1 and L L' = H^-1.
    limit : Tensor, shape (K,)
    middle : Tensor, shape (K, d)
        A point deep in each domain.

    References
    ----------
    Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, equation 8.27.
    """

    def __init__(
        self, features: KernelFeatures, prior: Tensor, root: Tensor, limit: Tensor, middle: Tensor
    ) -> None:
        self.features, self.limit, self.middle = features, limit, middle
        self._roots = torch.cat([prior, root], -1)
        self._sign = torch.ones_like(self._roots[0, 0])
        self._sign[: prior.shape[-1]] = -1

    def variance(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """Posterior variance in units of the prior's, (..., N)."""
        loads = _apply(self.features.bumps(coords, chart)[0], self._roots, chart)
        return 1 + loads.square() @ self._sign

    def depth(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.depth`."""
        limit = self.limit.unsqueeze(-1) if chart is None else self.limit[chart]
        edge = (1 - coords.abs().amax(-1)) / (1 - _EDGE)
        return torch.minimum((1 - self.variance(coords, chart) / limit).to(edge), edge)

    def walls(self, coords: Tensor, chart: Chart, slack: float) -> Walls:
        """See `Domain.walls`; the variance's level, then the nearer face of every coordinate."""
        d = coords.shape[-1]
        eye = torch.eye(d, dtype=coords.dtype, device=coords.device)
        tangents = eye.unsqueeze(1).expand(-1, *coords.shape)
        rows = self.features.jet(coords, chart, tangents, ())[..., 1 + d :]
        loads = _apply(rows, self._roots, chart)
        slope = 2 * (loads[1:] * loads[:1] @ self._sign).mT.to(coords)
        size = slope.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(coords.dtype).tiny)
        side = torch.where(coords < 0, -1.0, 1.0).to(coords)
        normal = torch.cat([(slope / size).unsqueeze(1), torch.diag_embed(side)], 1)
        # Variances are rounded as differences of sums of many terms.
        limit = self.limit[chart] if chart is not None else self.limit
        near = _ROUNDINGS * torch.finfo(coords.dtype).eps / limit
        near = near.clamp(min=slack).expand(len(coords)).unsqueeze(-1)
        high = (1 - (1 + loads[0].square() @ self._sign) / limit).unsqueeze(-1) <= near
        return Walls(normal, torch.cat([high, coords.abs() >= 1 - near], 1))

    def confine(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.confine`; along the slope of the variance, and where that fails to the middle."""
        out = self.depth(coords, chart) < 0
        if not bool(out.any()):
            return coords
        where = out.nonzero(as_tuple=True)
        index: Chart = where[0] if chart is None else chart
        if isinstance(chart, Tensor):
            index = chart[where[0]]
        outer = coords[where].clamp(-1, 1)
        inner = self.middle[index].to(outer).expand_as(outer).clone()
        found = torch.zeros_like(outer[:, 0], dtype=torch.bool)
        for _ in range(_PULLS):
            # A step of Newton's method for the depth, along the normal.
            depth = self.depth(outer, index)
            normal = self.walls(outer, index, 0.0).normal[:, 0]
            ahead = self.depth(outer - _AHEAD * normal, index)
            rise = (ahead - depth).clamp(min=torch.finfo(depth.dtype).tiny)
            length = (-depth * _AHEAD / rise).clamp(0, _LONGEST)
            trial = (outer - length.unsqueeze(-1) * normal).clamp(-1, 1)
            inside = self.depth(trial, index) >= 0
            new = (inside & ~found).unsqueeze(-1)
            inner, found = torch.where(new, trial, inner), found | inside
            outer = torch.where(found.unsqueeze(-1), outer, trial)
        # The border between the last point outside and one inside.
        for _ in range(_HALVINGS):
            half = (outer + inner) / 2
            deep = (self.depth(half, index) >= 0).unsqueeze(-1)
            outer, inner = torch.where(deep, outer, half), torch.where(deep, half, inner)
        return coords.index_put(where, inner)


def _apply(features: Tensor, matrix: Tensor, chart: Chart) -> Tensor:
    """Products (..., N, R) of features (..., N, F), or (K, ..., N, F), with matrices (K, F, R)."""
    if chart is None:
        extra = features.dim() - matrix.dim()
        return features @ matrix.view(len(matrix), *[1] * extra, *matrix.shape[1:])
    if isinstance(chart, int):
        return features @ matrix[chart]
    out = features.new_empty(*features.shape[:-1], matrix.shape[-1])
    for k in chart.unique().tolist():
        index = (chart == k).nonzero().squeeze(-1)
        out.index_copy_(-2, index, features.index_select(-2, index) @ matrix[k])
    return out


def _finest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type in _SINGLE else torch.float64


def _require_fitting(given: Mapping[str, Tensor], ambient_shape: tuple[int, ...]) -> None:
    """`ValueError` unless the tensors could be those of charts."""
    sizes = {"n": math.prod(ambient_shape)}
    for name, value in given.items():
        axes = _SHAPES[name]
        for axis, size in zip(axes, value.shape, strict=False):
            sizes.setdefault(axis, size)
        if tuple(value.shape) != tuple(sizes.get(axis) for axis in axes) or 0 in value.shape:
            raise ValueError(
                f"{name} must have shape ({', '.join(axes)}), with {sizes} of the others, "
                f"got {tuple(value.shape)}."
            )
        if name in _POSITIVE and not bool((value > 0).all()):
            raise ValueError(f"{name} must be positive, got {value.tolist()[:10]}.")
    for axis, most in _MOST.items():
        if sizes[axis] > most:
            raise ValueError(
                f"codes must have shape (K, A, d), {axis} at most {most}, got {sizes}."
            )
    if sizes["F"] != 1 + sizes["d"] + sizes["m"]:
        raise ValueError(f"weights must have F = 1 + d + m features, got {sizes}.")
    far = float(given["codes"].abs().max())
    if not far <= _FARTHEST:
        raise ValueError(f"codes must be in the box, at most {_FARTHEST}, got {far:.3g}.")


class KernelCharts(AnchoredCharts):
    """Charts x = c + W' phi(t): constant, linear terms and Gaussian bumps, with weights W.

    The mean of a Gaussian process, so the posterior variance says where there are data: the domain is
    a `VarianceDomain`. Derivatives of every order are closed. The left inverse is the nearest point,
    looked for in the at most F dimensions that a chart spans.

    Bumps nearly cancel, so tensors are kept and sums are taken in float64, whatever the dtype of points:
    that of the weights given, changed by ``to``. Devices without float64 (mps) take single precision,
    which loses up to 1e-7 times the largest weight.

    Parameters
    ----------
    center : Tensor, shape (n,)
        c.
    weights : Tensor, shape (K, F, n)
        Of 1, the coordinates, and the bumps.
    centers : Tensor, shape (K, m, d)
        Of the bumps; F = 1 + d + m.
    width, domain_width : Tensor, shape (K,)
        Of the bumps, and of those of the domain: a smooth fit is sure of itself across holes.
    prior, root : Tensor, shape (K, m, m)
    limit : Tensor, shape (K,)
        See `VarianceDomain`.
    codes : Tensor, shape (K, A, d)
        Coordinates of data: they are what samples are like, and where nearest points are looked for.
    ambient_shape : tuple of int

    Raises
    ------
    ValueError
        If shapes do not fit together, or numbers are out of range.

    References
    ----------
    Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 2.7.
    """

    unit: Tensor
    center: Tensor
    weights: Tensor
    centers: Tensor
    width: Tensor
    domain_width: Tensor
    prior: Tensor
    root: Tensor
    limit: Tensor
    spread: Tensor
    frame: Tensor | None
    core: Tensor

    def __init__(
        self,
        center: Tensor,
        weights: Tensor,
        centers: Tensor,
        width: Tensor,
        domain_width: Tensor,
        prior: Tensor,
        root: Tensor,
        limit: Tensor,
        codes: Tensor,
        ambient_shape: tuple[int, ...],
    ) -> None:
        given = {
            "center": center,
            "weights": weights,
            "centers": centers,
            "width": width,
            "domain_width": domain_width,
            "prior": prior,
            "root": root,
            "limit": limit,
            "codes": codes,
        }
        _require_fitting(given, ambient_shape)
        exact = _finest(codes.device)
        super().__init__(codes.to(exact), ambient_shape)
        # Of the dtype that points have.
        self.register_buffer(
            "unit", torch.ones_like(limit[0], dtype=weights.dtype), persistent=False
        )
        for name, value in given.items():
            if name != "codes":
                self.register_buffer(name, value.to(exact))
        self._span()
        domain, first = self.domain, self.anchors[:, :1]
        least = domain.depth(first).minimum(self.limit.unsqueeze(1) + domain.variance(first))
        if not bool((least > 0).all()):
            raise ValueError(
                "prior, root and limit must leave the first code of each chart in its domain, "
                f"got depths {domain.depth(first).flatten().tolist()[:10]}."
            )

    @torch.no_grad()
    def _span(self) -> None:
        """Orthonormal bases (K, n, r) of what the charts span about c, and the weights in them."""
        frame, core = None, self.weights
        if self.weights.shape[2] > self.weights.shape[1]:
            frame, core = torch.linalg.qr(self.weights.mT)
            core = core.mT.contiguous()
        # Of the nearest other code, as an even density would have it.
        near = nearest_gaps(self.anchors, 1)
        self.register_buffer("spread", near.median(-1).values, persistent=False)
        self.register_buffer("frame", frame, persistent=False)
        self.register_buffer("core", core, persistent=False)
        self._place_anchors(_apply(self.features(self.anchors, None), core, None))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Module's hook of ``to``: another device, or points of another dtype."""
        unit = fn(self.unit)
        exact = _finest(unit.device)
        super()._apply(lambda tensor: tensor.to(unit.device, exact), recurse)
        self.unit = unit
        return self

    @property
    def dtype(self) -> torch.dtype:
        """See `Charts.dtype`."""
        return self.unit.dtype

    def config(self) -> dict[str, object]:
        """See `Charts.config`; all else is in the tensors."""
        return {"ambient_shape": list(self.ambient_shape)}

    @classmethod
    def restored(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Self:
        """See `Charts.restored`."""
        given: dict[str, Any] = {
            "codes" if name == "anchors" else name: value for name, value in state.items()
        }
        return cls(**given, **config)

    @property
    def domain(self) -> VarianceDomain:
        """See `Charts.domain`."""
        features = KernelFeatures(self.centers, self.domain_width)
        return VarianceDomain(features, self.prior, self.root, self.limit, self.anchors[:, 0])

    @property
    def features(self) -> KernelFeatures:
        """Phi."""
        return KernelFeatures(self.centers, self.width)

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Charts.draw`; codes of data, moved by about as far as others are from them."""
        pick = torch.randint(self.anchors.shape[1], chart.shape, generator=generator)
        noise = torch.randn(*chart.shape, self.dim, generator=generator, dtype=torch.float64)
        own = chart.to(self.anchors.device)
        spread = self.spread[own].cpu().double().unsqueeze(-1)
        coords = self.anchors[own, pick.to(own)].cpu().double() + spread * noise
        return self.domain.confine(coords.to(self.unit), own).cpu().double()

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_latent`; even inside the domain, falling near its border and beyond."""
        return -_FALL * (_SHELL - self.domain.depth(coords, chart)).clamp(min=0)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        seen = _apply(self.features(coords, chart), self.core, chart).to(coords)
        return self.center.to(coords) + self._out_of(seen, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; in closed form."""
        seen = self.local_jet(coords, chart, tangents, pairs)
        made = Jet(*(self._out_of(part, chart) for part in seen))
        return made._replace(value=made.value + self.center.to(coords))

    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `AnchoredCharts.local_jet`."""
        rows = self.features.jet(coords, chart, tangents, pairs)
        rows = _apply(rows, self.core, chart).to(coords)
        n_tangents = tangents.shape[-3]
        value, first, second = rows.split_with_sizes((1, n_tangents, len(pairs)), -3)
        return Jet(value.squeeze(-3), first, second)

    def _seen_from(self, x: Tensor, chart: int | None = None) -> Tensor:
        if self.frame is None:
            return x - self.center.to(x)
        frame = self.frame if chart is None else self.frame[chart]
        return (x - self.center.to(x)) @ frame.to(x)

    def _out_of(self, seen: Tensor, chart: int | None) -> Tensor:
        """Vectors (..., n) of the space, from what is seen of them (..., r)."""
        if self.frame is None:
            return seen
        frame = self.frame if chart is None else self.frame[chart]
        extra = seen.dim() - frame.dim() if chart is None else 0
        frame = frame.to(seen).mT
        return seen @ frame.view(*frame.shape[:-2], *[1] * extra, *frame.shape[-2:])

    def _distance(self, x: Tensor, seen: Tensor, gap: Tensor) -> Tensor:
        square = (x - self.center).square().sum(-1) - seen.square().sum(-1)
        return (gap.square() + square.clamp(min=0)).sqrt()
