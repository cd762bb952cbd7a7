"""The dimension of data, for models that must have one."""

from __future__ import annotations

import math
import warnings

import numpy as np
from torch import Tensor

from learnedmanifolds.learning.dimension import FEW, dimension


def auto_dimension(x: Tensor, most: int) -> int:
    """The dimension of all components of points (N, ...), at most the largest that a model knows.

    Raises
    ------
    ValueError
        If components differ, or the dimension is clearly larger.

    Warns
    -----
    UserWarning
        If there is no clear dimension, or hardly a larger one than a model knows: the nearest to the
        estimate is taken, one where points are few, of which no model could learn more.
    """
    if len(x) < 10:
        raise ValueError(f"x must have at least 10 points where dim is 'auto', got {len(x)}.")
    found = dimension(x, per_component=True)
    parts = {part.value for part in found.components} - {None}
    if len(parts) > 1:
        sizes = np.bincount(np.asarray(found.labels) + 1)[1:]
        told = ", ".join(
            f"{part.value} ({size} points)"
            for part, size in zip(found.components, sizes, strict=True)
        )
        raise ValueError(
            f"x must have components of one dimension, got {told}; lm.dimension(x, per_component=True) "
            "labels them: fit each on its own, or give dim."
        )
    value = next(iter(parts)) if parts else found.value
    low, high = found.interval
    if value is None or (value > most and low <= most + 0.5):
        unknown = math.isnan(found.estimate) or (len(x) < FEW and found.estimate > most)
        value = 1 if unknown else min(most, x.shape[1], max(1, round(found.estimate)))
        reason = found.reason or f"it may be {most} or more"
        warnings.warn(
            f"x has no clear dimension: {reason} (estimate {found.estimate:.3g}, 95 % interval "
            f"{low:.3g} to {high:.3g}). {value} is taken; give dim if you know it.",
            stacklevel=4,
        )
    if value > most:
        raise ValueError(
            f"x must have a dimension of at most {most}, got {value} (95 % interval {low:.3g} to "
            f"{high:.3g}); MixtureVAE learns more dimensions, or give dim."
        )
    return max(1, value)
