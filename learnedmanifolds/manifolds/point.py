"""Points as NumPy arrays that remember where they are in an atlas."""

from __future__ import annotations

from typing import Any

import autograd.core
import autograd.extend
import autograd.numpy.numpy_boxes
import autograd.numpy.numpy_vspaces
import numpy as np

from learnedmanifolds.geometry import LocalGeometry


class AtlasPoint(np.ndarray):
    """A point (float64, ambient shape) with its chart, coordinates and geometry.

    Results of arithmetic are ordinary values without a place. The geometry (Jacobian and second
    derivatives) is computed when first asked for and then kept.
    """

    _placed: tuple[LocalGeometry, np.ndarray] | None = None

    @property
    def local(self) -> LocalGeometry | None:
        """The geometry where the point is; None where no manifold has put it.

        A point whose entries were changed, in whatever way, is somewhere else.
        """
        if self._placed is None:
            return None
        local, values = self._placed
        return local if np.array_equal(self.view(np.ndarray), values) else None

    @local.setter
    def local(self, local: LocalGeometry | None) -> None:
        self._placed = None if local is None else (local, np.array(self))

    def __array_finalize__(self, obj: Any) -> None:
        self._placed = None

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **kwargs: Any
    ) -> Any:
        if out:
            kwargs["out"] = tuple(_plain(target) for target in out)
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **kwargs)
        return out[0] if len(out) == 1 else result

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    @property
    def chart(self) -> int:
        """Index of the chart the point is in."""
        return int(self._place().chart)

    @property
    def coords(self) -> np.ndarray:
        """Coordinates in the chart, (d,)."""
        return self._place().coords[0].numpy()

    def _place(self) -> LocalGeometry:
        local = self.local
        if local is None:
            raise ValueError("The array is not a point that a PymanoptManifold returned.")
        return local

    def __deepcopy__(self, memo: Any) -> AtlasPoint:
        return self.copy_with_place()

    def copy_with_place(self) -> AtlasPoint:
        """A copy that keeps the place."""
        other = np.array(self).view(AtlasPoint)
        other.local = self.local
        return other


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, AtlasPoint) else value


# autograd differentiates only types that it knows.
autograd.numpy.numpy_boxes.ArrayBox.register(AtlasPoint)
autograd.numpy.numpy_vspaces.VSpace.register(
    AtlasPoint, lambda x: autograd.numpy.numpy_vspaces.ArrayVSpace(np.asarray(x))
)
