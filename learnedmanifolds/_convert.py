"""Conversion of array arguments to tensors, for `learnedmanifolds._check`."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

ArrayLike: TypeAlias = torch.Tensor | npt.ArrayLike
"""What every array argument of the library accepts."""

Shape: TypeAlias = Sequence[int | None | EllipsisType]
"""Expected sizes: `None` is any size, a leading `...` any number of leading dimensions."""


def to_tensor(value: ArrayLike, name: str) -> torch.Tensor:
    """Return a tensor of the value's own dtype; Python floats in sequences are float64."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(row, torch.Tensor) for row in value):
        return _stack(value, name)
    if isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any()):
        raise ValueError(f"{name} must have no masked entries, got {int(value.mask.sum())}.")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a rectangular array, got rows of several sizes"
        ) from error
    if array.dtype == object:
        array = _nullable(value, array)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must be an array of numbers, got {_described(value, array)}")
    # torch refuses foreign byte order and negative strides, and warns about read-only memory.
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"]).reshape(array.shape)
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise TypeError(f"{name} must have a dtype that torch knows, got {array.dtype}") from error


def to_numbers(value: ArrayLike, name: str) -> torch.Tensor:
    """Return real numbers, finite or not, as a tensor; `TypeError` if they are none."""
    return to_dtype(to_tensor(value, name), name, None)


def to_dtype(tensor: torch.Tensor, name: str, dtype: torch.dtype | None) -> torch.Tensor:
    """Convert where no kind of number is lost; bool only goes to bool."""
    wanted = tensor.dtype if dtype is None else dtype
    if tensor.dtype == torch.bool and dtype != torch.bool:
        raise TypeError(f"{name} must be an array of numbers, got dtype torch.bool")
    if _rank(tensor.dtype) > _rank(wanted):
        raise TypeError(f"{name} must have dtype {wanted} or convert to it, got {tensor.dtype}")
    if tensor.is_complex() and dtype is None:
        raise TypeError(f"{name} must be an array of real numbers, got dtype {tensor.dtype}")
    return tensor.to(wanted)


def fits(sizes: Sequence[int], shape: Shape) -> bool:
    """Whether the sizes are the expected ones."""
    if shape and shape[0] is Ellipsis:
        shape = shape[1:]
        if len(sizes) < len(shape):
            return False
        sizes = sizes[len(sizes) - len(shape) :]
    matches = (wanted is None or wanted == size for wanted, size in zip(shape, sizes, strict=False))
    return len(sizes) == len(shape) and all(matches)


def describe(shape: Shape) -> str:
    """Write a shape as users read it: `(..., any, 3)`."""
    words = ["..." if s is Ellipsis else "any" if s is None else str(s) for s in shape]
    return f"({words[0]},)" if len(words) == 1 else f"({', '.join(words)})"


def _stack(rows: Sequence[Any], name: str) -> torch.Tensor:
    try:
        return torch.stack([torch.as_tensor(row) for row in rows])
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from error


def _nullable(value: object, array: np.ndarray) -> np.ndarray:
    """Numbers of a pandas object whose dtypes know missing values, as NaN; other objects unchanged."""
    dtypes = getattr(value, "dtypes", None)
    to_numpy = getattr(value, "to_numpy", None)
    if dtypes is None or to_numpy is None:
        return array
    kinds = {getattr(d, "kind", "O") for d in np.atleast_1d(np.asarray(dtypes, dtype=object))}
    if not kinds <= set("iuf"):
        return array
    whole = kinds <= set("iu") and not bool(np.any(value.isna()))  # type: ignore[attr-defined]
    return np.asarray(to_numpy(dtype=np.int64 if whole else np.float64, na_value=np.nan))


def _described(value: object, array: np.ndarray) -> str:
    """What a value that is no numbers is; of a table the columns that are none."""
    dtypes, kind = getattr(value, "dtypes", None), type(value).__name__
    if dtypes is not None and hasattr(dtypes, "items"):
        wrong = [(c, d) for c, d in dtypes.items() if getattr(d, "kind", "O") not in "iufc"]
        if wrong:
            column, dtype = wrong[0]
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            return f"{kind} with column {column!r} of dtype {dtype}{more}"
    return f"{kind} of dtype {array.dtype}"


def _rank(dtype: torch.dtype) -> int:
    if dtype == torch.bool:
        return 0
    if dtype.is_complex:
        return 3
    return 2 if dtype.is_floating_point else 1
