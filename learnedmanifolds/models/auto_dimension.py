"""The dimension of data, for models that must have one."""

from __future__ import annotations

import math
import warnings
from collections import Counter

import numpy as np
from torch import Tensor

from learnedmanifolds.learning.dimension import FEW, dimension
from learnedmanifolds.learning.outliers import SHARE_APART

# The largest dimension that few points could tell.
_TOLD_BY_FEW = 3


def auto_dimension(x: Tensor, most: int) -> int:
    """The dimension of the components of points (N, ...), at most the largest that a model knows.

    Groups of another one are no matter where they are together less than a twentieth of the points, and
    each less than 128, which hardly tell their own.

    Raises
    ------
    ValueError
        If other components differ, or the dimension is clearly larger.

    Warns
    -----
    UserWarning
        If there is no clear dimension, or hardly a larger one than a model knows: the nearest to the
        estimate is taken, one where points are few, of which no model could learn more.
    """
    if len(x) < 10:
        raise ValueError(f"x must have at least 10 points where dim is 'auto', got {len(x)}.")
    found = dimension(x, per_component=True)
    sizes = np.bincount(np.asarray(found.labels) + 1)[1:]
    parts = list(zip(found.components, sizes, strict=True))
    # Each dimension with the points of which it is clear.
    clear = Counter[int]()
    for part, size in parts:
        if part.value is not None:
            clear[part.value] += int(size)
    value, share = max(clear.items(), key=lambda item: item[1], default=(found.value, 0))
    others = [size for part, size in parts if part.value not in (None, value)]
    if sum(others) >= SHARE_APART * len(x) or max(others, default=0) >= FEW:
        told = ", ".join(f"{part.value} ({size} points)" for part, size in parts)
        raise ValueError(
            f"x must have components of one dimension, got {told}; lm.dimension(x, per_component=True) "
            "labels them: fit each on its own, or give dim."
        )
    if share < SHARE_APART * len(x):
        value = found.value
    low, high = found.interval
    if value is None or (value > most and low <= most + 0.5):
        unknown = math.isnan(found.estimate) or (len(x) < FEW and found.estimate > _TOLD_BY_FEW)
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
            f"{high:.3g}); give dim if you know it to be less."
        )
    return max(1, value)
