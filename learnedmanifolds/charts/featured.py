"""Charts that are linear in features of their coordinates, trusted where there are data."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import AnchoredCharts, nearest_gaps
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.charts.kernel_features import apply
from learnedmanifolds.charts.level_domain import LevelDomain

# Depth up to which the latent density falls, and how fast, in nats.
_SHELL, _FALL = 0.2, 15.0
# Times that draws outside the domain are brought nearer to the code that they are drawn about.
_HALVINGS = 5
# Sizes beyond which derivatives and distances would take far more room than the tensors.
_MOST = {"d": 16, "A": 4096}
# Coordinates that codes may have: those of a fit may leave the box by a little.
_FARTHEST = 1.2
# Of depths.
_ROUNDING = 1e-6
# Kinds of devices that have no float64.
_SINGLE = {"mps"}


def _finest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type in _SINGLE else torch.float64


def require_fitting(
    given: Mapping[str, Tensor],
    shapes: Mapping[str, str],
    positive: tuple[str, ...],
    ambient_shape: tuple[int, ...],
) -> dict[str, int]:
    """Sizes by their letters; `ValueError` unless the tensors could be those of charts."""
    sizes = {"n": math.prod(ambient_shape)}
    for name, value in given.items():
        axes = shapes[name]
        for axis, size in zip(axes, value.shape, strict=False):
            sizes.setdefault(axis, size)
        if tuple(value.shape) != tuple(sizes.get(axis) for axis in axes) or 0 in value.shape:
            raise ValueError(
                f"{name} must have shape ({', '.join(axes)}), with {sizes} of the others, "
                f"got {tuple(value.shape)}."
            )
        if name in positive and not bool((value > 0).all()):
            raise ValueError(f"{name} must be positive, got {value.tolist()[:10]}.")
    if not bool((given["mass"] >= 0).all() and (given["mass"].sum(1) > 0).all()):
        raise ValueError("mass must be non-negative, and positive somewhere in every chart.")
    for axis, most in _MOST.items():
        if sizes[axis] > most:
            raise ValueError(
                f"codes must have shape (K, A, d), {axis} at most {most}, got {sizes}."
            )
    far = float(given["codes"].abs().max())
    if not far <= _FARTHEST:
        raise ValueError(f"codes must be in the box, at most {_FARTHEST}, got {far:.3g}.")
    return sizes


class Features(Protocol):
    """Functions of the coordinates of K charts, F a chart."""

    def __call__(self, coords: Tensor, chart: Chart) -> Tensor:
        """Features (..., N, F) at coordinates (..., N, d)."""
        ...

    def jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs) -> Tensor:
        """Rows (..., 1 + T + P, N, F): features, first and second derivatives."""
        ...


class FeatureCharts(AnchoredCharts):
    """Charts x = c + W' phi(t), with features phi and weights W.

    The left inverse is the nearest point, looked for in the at most F dimensions that a chart spans. The
    domain is a `LevelDomain`.

    Tensors are kept and sums are taken in float64, whatever the dtype of points: that of the weights
    given, changed by ``to``. Devices without float64 (mps) take single precision.

    Parameters
    ----------
    given : mapping of str to Tensor
        Buffers by their names: ``center`` (n,) is c, ``weights`` (K, F, n) is W, ``codes`` (K, A, d) are
        coordinates of data all over the domain, and ``mass`` (K, A) how often samples are drawn about
        each, up to a factor a chart; the others are the features' and the domain's.
    ambient_shape : tuple of int

    Raises
    ------
    ValueError
        If codes are not in the domains.
    """

    unit: Tensor
    center: Tensor
    weights: Tensor
    mass: Tensor
    spread: Tensor
    frame: Tensor | None
    core: Tensor

    def __init__(self, given: Mapping[str, Tensor], ambient_shape: tuple[int, ...]) -> None:
        codes, weights = given["codes"], given["weights"]
        exact = _finest(codes.device)
        super().__init__(codes.to(exact), ambient_shape)
        # Of the dtype that points have.
        unit = torch.ones((), dtype=weights.dtype, device=weights.device)
        self.register_buffer("unit", unit, persistent=False)
        for name, value in given.items():
            if name != "codes":
                self.register_buffer(name, value.to(exact))
        self._span()
        depth = self.domain.depth(self.anchors)
        if not bool((depth >= 0).all()):
            raise ValueError(
                f"codes must be in the domains that the border is of, got depth {float(depth.min()):.3g}."
            )

    @property
    @abc.abstractmethod
    def features(self) -> Features:
        """Phi."""

    @property
    @abc.abstractmethod
    def domain(self) -> LevelDomain:
        """See `Charts.domain`."""

    @abc.abstractmethod
    def widen(self, depth: Tensor) -> None:
        """Let domains end where they are as deep as this, (K,), at most 0."""

    def rounded(self) -> Self:
        """See `Charts.rounded`; domains go on to hold all codes."""
        made = super().rounded()
        made._span()
        depth = made.domain.depth(made.anchors).amin(1)
        made.widen((depth - _ROUNDING).clamp(max=0))
        return made

    @torch.no_grad()
    def _span(self) -> None:
        """Orthonormal bases (K, n, r) of what the charts span about c, and the weights in them."""
        frame, core = None, self.weights
        if self.weights.shape[2] > self.weights.shape[1]:
            frame, core = torch.linalg.qr(self.weights.mT)
            core = core.mT.contiguous()
        # Of the nearest others that draws are about, on all sides of each: far where these are few.
        near = torch.zeros_like(self.mass)
        for gaps, codes, mass in zip(near, self.anchors, self.mass, strict=True):
            gaps[mass > 0] = nearest_gaps(codes[mass > 0].unsqueeze(0), max(4, 2 * self.dim))[0]
        self.register_buffer("spread", near, persistent=False)
        self.register_buffer("frame", frame, persistent=False)
        self.register_buffer("core", core, persistent=False)
        self._place_anchors(apply(self.features(self.anchors, None), core, None))

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

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Charts.draw`; codes of data, moved by about as far as others are from them."""
        share = self.mass.cpu().double().cumsum(1)
        # One increasing sequence for all charts, each between its number and the next.
        levels = share / share[:, -1:] + torch.arange(len(share)).unsqueeze(1)
        level = chart.cpu() + torch.rand(chart.shape, generator=generator, dtype=torch.float64)
        pick = (
            torch.searchsorted(levels.flatten(), level, right=True) - share.shape[1] * chart.cpu()
        )
        pick = pick.clamp(max=share.shape[1] - 1)
        noise = torch.randn(*chart.shape, self.dim, generator=generator, dtype=torch.float64)
        own = chart.to(self.anchors.device)
        pick = pick.to(own)
        spread = self.spread[own, pick].cpu().double().unsqueeze(-1)
        codes = self.anchors[own, pick].cpu().double()
        for _ in range(_HALVINGS):
            out = self.domain.depth((codes + spread * noise).to(self.unit), own) < 0
            noise[out.cpu()] /= 2
        coords = (codes + spread * noise).to(self.unit)
        return self.domain.confine(coords, own).cpu().double()

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_latent`; even inside the domain, falling near its border and beyond."""
        return -_FALL * (_SHELL - self.domain.depth(coords, chart)).clamp(min=0)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        seen = apply(self.features(coords, chart), self.core, chart).to(coords)
        return self.center.to(coords) + self._out_of(seen, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; in closed form."""
        seen = self.local_jet(coords, chart, tangents, pairs)
        made = Jet(*(self._out_of(part, chart) for part in seen))
        return made._replace(value=made.value + self.center.to(coords))

    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `AnchoredCharts.local_jet`."""
        rows = self.features.jet(coords, chart, tangents, pairs)
        rows = apply(rows, self.core, chart).to(coords)
        n_tangents = tangents.shape[-3]
        value, first, second = rows.split_with_sizes((1, n_tangents, len(pairs)), -3)
        return Jet(value.squeeze(-3), first, second)

    def seen_from(self, x: Tensor, chart: int | None = None) -> Tensor:
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
