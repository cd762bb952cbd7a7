"""Expansion of distributions to larger batches."""

from __future__ import annotations

import abc
import copy
from typing import Any, ClassVar, Self

from torch import Size
from torch.distributions import Distribution


class Expanding(Distribution, abc.ABC):
    """A distribution that expands to a larger batch as its tensors do.

    A subclass names its tensors and how many of the last axes of each are not of the batch.
    """

    _batched: ClassVar[dict[str, int]] = {}

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """See `torch.distributions.Distribution.expand`."""
        new = copy.copy(self)
        new._batch_shape = Size(batch_shape)
        for name, axes in self._batched.items():
            value = getattr(self, name)
            event = value.shape[value.dim() - axes :]
            setattr(new, name, value.expand(*new._batch_shape, *event))
        return new
