"""The units of data: trainings see them centred and of unit scale, users where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.jet import JetRule

# Rows, and numbers in them, that are float64 at a time: memory that is not new each time is fast.
_ROWS, _NUMBERS = 1024, 2**18

# Float32 has 7 digits, and squares of its distances half of them. Farther from the origin, in units
# of their scale, data are places of float64; so are those whose squares leave float32's range.
_FARTHEST = 16.0
_SMALLEST, _LARGEST = 1e-12, 1e12

# Sizes whose squares are numbers of float64.
_LEAST_SIZE, _MOST_SIZE = 1e-140, 1e140


@dataclass(frozen=True, eq=False)
class Units:
    """Where data are and how wide: x = center + scale * y, with y of mean 0 and mean square 1.

    There is one scale for all entries, so that distances keep their ratios.

    Attributes
    ----------
    center : Tensor, shape ambient_shape, float64
        Mean of the data.
    scale : float
        Root mean square of the entries about it; 1 where all data are the same.
    """

    center: Tensor
    scale: float

    @classmethod
    def of(cls, x: Tensor) -> Units:
        """Those of data (N, *ambient_shape) of any dtype; measured in float64.

        Raises
        ------
        ValueError
            If the entries are so large, or their spread so small, that float64 has no squares of them.
        """
        size = max(abs(float(end)) for end in x.aminmax())
        if size > _MOST_SIZE:
            raise ValueError(
                f"x must be numbers of size at most {_MOST_SIZE:g}, got {size:.3g}; choose larger units."
            )
        parts = _parts(x)
        center = sum((part.double().sum(0) for part in parts), torch.zeros_like(x[0]).double())
        center = center / len(x)
        reach = max(float((part.double() - center).abs().max()) for part in parts) or 1.0
        square = sum(float(((part.double() - center) / reach).square().sum()) for part in parts)
        scale = reach * math.sqrt(square / x.numel())
        if scale <= 16 * torch.finfo(torch.float64).eps * size:
            scale = 1.0
        elif scale < _LEAST_SIZE:
            raise ValueError(
                f"x must have a spread of at least {_LEAST_SIZE:g}, got {scale:.3g}; choose smaller "
                "units."
            )
        return cls(center, scale)

    @property
    def dtype(self) -> torch.dtype:
        """Float32, or float64 where places or squares of such data need it."""
        far = float(self.center.abs().max()) > _FARTHEST * self.scale
        fits = _SMALLEST < self.scale < _LARGEST and not far
        return torch.float32 if fits else torch.float64

    def remove(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Data (N, *ambient_shape) in these units: (x - center) / scale, subtracted in float64."""
        center = self.center.to(x.device)
        made = torch.empty(x.shape, dtype=dtype, device=x.device)
        for part, out in zip(_parts(x), _parts(made), strict=True):
            out.copy_((part.double() - center) / self.scale)
        return made

    def restore(self, y: Tensor) -> Tensor:
        """Data in their own units and of `dtype`: center + scale * y."""
        center = self.center.to(y.device)
        return (center + self.scale * y.double()).to(self.dtype)

    def remover(self) -> Rescale:
        """A module that does `remove`, float64."""
        scale = torch.tensor(1 / self.scale, dtype=torch.float64)
        return Rescale(scale, -self.center / self.scale)

    def restorer(self) -> Rescale:
        """A module that does `restore`, float64."""
        return Rescale(torch.tensor(self.scale, dtype=torch.float64), self.center)


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    return x.split(max(1, min(_ROWS, _NUMBERS // max(1, math.prod(x.shape[1:])))))


class Rescale(nn.Module):
    """x -> scale x + shift, entry by entry, fixed."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Values (N, ...) of (N, ...)."""
        return torch.addcmul(self.shift, self.scale, x)

    def can_push(self) -> bool:
        """See `TaylorModule.can_push`."""
        return True

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """See `TaylorModule.push`."""
        return rule.shift(self.scale.flatten() * rows, self.shift.view(1, -1))


def chain(*modules: nn.Module) -> nn.Sequential:
    """The modules one after another, those of an `nn.Sequential` each for itself."""
    links: list[nn.Module] = []
    for module in modules:
        links += module if type(module) is nn.Sequential else [module]
    return nn.Sequential(*links)
