"""What the mixture of autoencoders starts from: charts of an atlas, flows of theirs, and codes."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.anchored import nearest_gaps
from learnedmanifolds.charts.featured import FeatureCharts
from learnedmanifolds.charts.flow import orthonormal
from learnedmanifolds.charts.lifted import LiftedCharts
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.models.of_fits import agreed
from learnedmanifolds.training.units import Units

# Leading coordinates of a chart, at least; Whitney's number where that is more.
_LEADING = 10
# Codes of a chart that flows are regressed on, and points that are decoded at a time.
_CODES, _ROWS = 8192, 4096
# Dimensions in which domains fill much of the box, draws in it, and how far outside they may be.
_FEW, _DRAWN, _MARGIN = 3, 2**15, 0.05
# Data that domains may leave out, and the rounding of depths.
_OUTSIDE, _ROUNDING = 2e-3, 1e-6
# Frequencies of the first layers, in units of the usual ones: codes span the box.
_FREQUENCY = 4.0


class Start(NamedTuple):
    """Charts in principal coordinates of data of unit scale, float32.

    Attributes
    ----------
    charts : LiftedCharts
        Flows that are the best planes.
    principal : Principal
    x : Tensor, shape (N, q)
        The data in these coordinates.
    codes : Tensor, shape (K, M, d)
        All over the domains.
    leading : Tensor, shape (K, M, r)
        Leading coordinates of the points there.
    holds : Tensor of bool, shape (K, N)
        Which charts hold which data.
    """

    charts: LiftedCharts
    principal: Principal
    x: Tensor
    codes: Tensor
    leading: Tensor
    holds: Tensor

    @classmethod
    def of(
        cls, atlas: Atlas, x: Tensor, units: Units, hidden: int, n_blocks: int, seed: int
    ) -> Self:
        """From an atlas of feature charts of data (N, ...), in units of them."""
        flat = units.remove(x, torch.float64).flatten(1)
        principal = Principal.of(flat, seed)
        charts = seen(feature_charts(atlas), principal, units)
        codes = _codes(charts, seed)
        points = charts.decode(codes)
        lifted = LiftedCharts(charts, _leading(points, charts.dim), hidden, n_blocks, seed)
        leading = (points - charts.center) @ lifted.basis.double()
        _place(lifted, codes, leading)
        holds = torch.cat([_holds(atlas, part) for part in x.split(_ROWS)], 1)
        return cls(
            lifted,
            principal,
            principal.coordinates(flat).float(),
            codes.float(),
            leading.float(),
            holds,
        )

    @torch.no_grad()
    def finish(self, atlas: Atlas, units: Units) -> LiftedCharts:
        """The charts, trained, in the space and the units of the data."""
        # The training may have been on another device.
        basis = self.charts.cpu().basis.double()
        whole = basis if self.principal.basis is None else self.principal.basis @ basis
        made = LiftedCharts(feature_charts(atlas), whole, **self.charts.sizes)
        made.flow.load_state_dict(self.charts.flow.state_dict())
        made.start.widen(self._shallowest())
        made = made.to(units.dtype)
        made.flow.carry(torch.zeros_like(made.flow.center[0, 0]), units.scale)
        return made

    def _shallowest(self) -> Tensor:
        """How deep nearly all data are that charts held, (K,), at most 0: codes have moved."""
        found = []
        for k, held in enumerate(self.holds):
            coords = self.charts.left_inverse(self.x[held], k)
            depth = self.charts.domain.depth(coords, k).double()
            found.append(depth.quantile(_OUTSIDE, interpolation="lower").clamp(max=0) - _ROUNDING)
        return torch.stack(found)


def feature_charts(atlas: Atlas) -> FeatureCharts:
    """The charts of what `KernelAtlas` learned."""
    if not isinstance(atlas.charts, FeatureCharts):
        raise TypeError(f"atlas must have FeatureCharts, got {type(atlas.charts).__name__}.")
    return atlas.charts


def seen(charts: FeatureCharts, principal: Principal, units: Units) -> FeatureCharts:
    """Charts as they are in principal coordinates of data in units."""
    state = dict(charts.state_dict())
    weights, center = state["weights"], charts.center.double() - units.center.flatten()
    if principal.basis is not None:
        weights, center = weights @ principal.basis, center @ principal.basis
    state["weights"], state["center"] = weights / units.scale, center / units.scale
    return type(charts).restored({"ambient_shape": [len(center)]}, state)


def _codes(charts: FeatureCharts, seed: int) -> Tensor:
    """Coordinates (K, M, d) all over the domains.

    Random ones of the box, up to three dimensions; beyond, where domains are small parts of it, anchors,
    moved as far as others are.
    """
    source = torch.Generator().manual_seed(seed)
    if charts.dim > _FEW:
        gaps = nearest_gaps(charts.anchors, 2 * charts.dim)
        pick = torch.randint(charts.anchors.shape[1], (charts.n_charts, _CODES), generator=source)
        rows = torch.arange(charts.n_charts).unsqueeze(1)
        noise = torch.randn(*pick.shape, charts.dim, generator=source, dtype=torch.float64)
        moved = gaps[rows, pick].unsqueeze(-1) * noise
        return charts.domain.confine(charts.anchors[rows, pick] + moved)
    found = []
    for k, own in enumerate(charts.anchors):
        low, high = own.amin(0), own.amax(0)
        codes = low + (high - low) * torch.rand(
            _DRAWN, charts.dim, generator=source, dtype=torch.float64
        )
        inside = codes[charts.domain.depth(codes, k) >= -_MARGIN]
        found.append(inside[torch.arange(_CODES) % len(inside)])
    return torch.stack(found)


def _leading(points: Tensor, dim: int) -> Tensor:
    """Leading principal directions (K, q, r) of the points (K, M, q) of charts, all where these are few.

    Their signs are such that the largest entries are positive.
    """
    count, q = len(points), points.shape[2]
    r = max(_LEADING, 2 * dim + 1)
    if q <= r:
        return torch.eye(q, dtype=points.dtype).expand(count, q, q)
    rows = torch.linalg.svd(points - points.mean(1, keepdim=True), full_matrices=False).Vh[:, :r]
    largest = rows.gather(2, rows.abs().argmax(2, keepdim=True))
    return (rows * largest.sign()).mT.contiguous()


@torch.no_grad()
def _place(lifted: LiftedCharts, codes: Tensor, leading: Tensor) -> None:
    """Make the flows the planes that fit points (K, M, r) of codes (K, M, d) best."""
    flow, d = lifted.flow, lifted.dim
    rows = torch.cat([torch.ones_like(codes[..., :1]), codes], -1)
    fitted = torch.linalg.lstsq(rows, leading).solution
    left, size, right = torch.linalg.svd(fitted[:, 1:].mT, full_matrices=False)
    along = left @ right
    # Completed in a way that rounding hardly changes.
    every = torch.cat(
        [along, torch.eye(along.shape[1], dtype=along.dtype).expand_as(along @ along.mT)], -1
    )
    frames = torch.cat([along, orthonormal(every)[..., d:]], -1)
    flow.place(fitted[:, 0], frames, size.mean(1))
    for layer, (weight, bias) in enumerate(
        zip(flow.network.weights, flow.network.biases, strict=True)
    ):
        if layer % 3 == 0:
            weight *= _FREQUENCY
            bias *= _FREQUENCY


def _holds(atlas: Atlas, x: Tensor) -> Tensor:
    """Which charts hold which points (N, ...) within the tolerance, (K, N)."""
    coords, error = atlas.claims(atlas.flat(x))
    inside = atlas.charts.domain.depth(coords) >= 0
    held = inside & (error <= atlas.tolerance)
    # One at least.
    nearest = torch.nn.functional.one_hot(error.argmin(0), atlas.n_charts).T.bool()
    return torch.where(held.any(0), held, nearest)


@torch.no_grad()
def disagreement(atlas: Atlas, coords: Tensor, held: Tensor) -> float | None:
    """How far charts may be from each other's points, see `Atlas.agreement`.

    Of points of coordinates (K, N, d) that both held, (K, N); None where no two charts did.
    """
    holds = (atlas.charts.domain.depth(coords) >= 0) & held
    points = atlas.charts.decode(coords)
    gaps = []
    for k in range(atlas.n_charts):
        for j in range(atlas.n_charts):
            both = holds[k] & holds[j]
            if j != k and bool(both.any()):
                point = points[j, both]
                made = atlas.charts.decode(atlas.charts.encode(point, k), k)
                gaps.append((made - point).norm(dim=1))
    return agreed(gaps) if gaps else None
