"""Properties from the errors at every point of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from learnedmanifolds.checks.result import Property
from learnedmanifolds.geometry import BoundaryError


def measured(
    name: str,
    error: Callable[[int], float | None],
    points: Sequence[Any],
    tolerance: float,
    *,
    required: bool = True,
) -> Property:
    """A property that holds if its error is at most the tolerance at every point.

    Parameters
    ----------
    name : str
    error : callable
        Of the index of a point. None, or a `BoundaryError`, where the property says nothing about
        the point; `NotImplementedError` where the manifold has no such method; any other exception
        is a failure.
    points : sequence
    tolerance : float
    required : bool
        Whether a failure counts.
    """
    errors = np.full(len(points), -np.inf)
    for i, point in enumerate(points):
        try:
            found = error(i)
        except NotImplementedError:
            return Property(name, None, "not implemented", required=required)
        except BoundaryError:
            continue
        # The report names a broken method and goes on to the next.
        except Exception as problem:
            detail = f"at point {i + 1} of {len(points)}: {type(problem).__name__}: {problem}"
            return Property(name, False, detail, np.inf, tolerance, required, point)
        if found is not None:
            errors[i] = np.inf if np.isnan(found) else found
    worst = int(errors.argmax())
    largest = float(errors[worst])
    if np.isneginf(largest):
        return Property(name, None, "says nothing here", required=required)
    passed = largest <= tolerance
    detail = f"error {largest:.2g}, tolerance {tolerance:.2g}"
    if not passed:
        detail = f"at point {worst + 1} of {len(points)}: {detail}"
    return Property(name, passed, detail, largest, tolerance, required, points[worst])
