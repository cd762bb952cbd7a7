"""Checks of arguments, made once, at the public border of the library.

Every message names the argument, what was expected and what came. `TypeError` is for a wrong type,
`ValueError` for a wrong value. The checks read values, so they do not run inside `torch.func`.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from learnedmanifolds._convert import ArrayLike, Shape, describe, fits, to_dtype, to_tensor

__all__ = [
    "ArrayLike",
    "Shape",
    "as_path",
    "as_tensor",
    "floating_dtype",
    "generator",
    "integer",
    "method",
    "non_negative",
    "one_of",
    "positive",
    "real",
    "require_finite",
]

MAX_SEED = 2**63 - 1

T = TypeVar("T")


def as_tensor(
    value: ArrayLike,
    name: str,
    *,
    dtype: torch.dtype | None = None,
    shape: Shape | None = None,
    allow_empty: bool = True,
) -> torch.Tensor:
    """Check an array argument and return it as a dense tensor.

    A tensor keeps its device and its place in the autograd graph. A tensor or NumPy array that
    already has the right dtype is not copied, so the result may share memory with it.

    Parameters
    ----------
    value : torch.Tensor, numpy.ndarray, number or nested sequence of numbers
        The argument.
    name : str
        Its name, for the messages.
    dtype : torch.dtype, optional
        dtype of the result; by default that of the value, float64 for Python floats. A conversion
        that loses the kind, such as float to integer, is refused.
    shape : sequence of int, None or ..., optional
        Expected shape: `(None, 3)` is any number of rows of length 3, `(..., 3)` any shape that
        ends in 3.
    allow_empty : bool
        Whether a size of 0 is accepted.

    Returns
    -------
    torch.Tensor
        The checked values.

    Raises
    ------
    TypeError
        If the value is not a dense numeric array or cannot become `dtype`.
    ValueError
        If the shape does not fit, the array is empty or ragged, or a value is NaN or infinite.
    """
    tensor = to_dtype(to_tensor(value, name), name, dtype)
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense array, got {tensor.layout}; call .to_dense()")
    if shape is not None and not fits(tensor.shape, shape):
        raise ValueError(f"{name} must have shape {describe(shape)}, got {describe(tensor.shape)}")
    if not allow_empty and tensor.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {describe(tensor.shape)}")
    require_finite(tensor, name)
    return tensor


def floating_dtype(value: object, name: str = "dtype") -> torch.dtype:
    """Check a real floating point dtype, such as `torch.float32`.

    Raises
    ------
    TypeError
        If the value is not a `torch.dtype`.
    ValueError
        If the dtype is not a real floating point one.
    """
    if not isinstance(value, torch.dtype):
        raise TypeError(f"{name} must be a torch.dtype, got {type(value).__name__}")
    if not value.is_floating_point:
        raise ValueError(
            f"{name} must be a floating point dtype such as torch.float64, got {value}"
        )
    return value


def real(value: object, name: str) -> float:
    """Check a finite real number; `TypeError` or `ValueError` if it is not."""
    return _real(value, name, "a finite number")


def positive(value: object, name: str) -> float:
    """Check a finite real number greater than 0; `TypeError` or `ValueError` if it is not.

    Arrays and tensors of no dimensions are the number that they hold, here and in the checks below.
    """
    number = _real(value, name, "a positive finite number")
    if number <= 0:
        raise ValueError(f"{name} must be a positive finite number, got {value}")
    return number


def non_negative(value: object, name: str) -> float:
    """Check a finite real number of at least 0; `TypeError` or `ValueError` if it is not."""
    number = _real(value, name, "a non-negative finite number")
    if number < 0:
        raise ValueError(f"{name} must be a non-negative finite number, got {value}")
    return number


def integer(value: object, name: str, *, minimum: int | None = None) -> int:
    """Check an integer, with a least value where one is given.

    Raises
    ------
    TypeError
        If the value is not an integer; a bool and a float such as 3.0 are none.
    ValueError
        If it is less than `minimum`.
    """
    number = _scalar(value)
    if isinstance(number, bool) or not isinstance(number, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value}")
    return int(number)


def widths(value: object, name: str, *, allow_empty: bool = False) -> tuple[int, ...]:
    """Check the widths of layers.

    Raises
    ------
    TypeError
        If the value is no sequence of integers.
    ValueError
        If a width is less than 1, or there is none and ``allow_empty`` is not set.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name} must be a sequence of widths, got {value!r}.")
    if not value and not allow_empty:
        raise ValueError(f"{name} must hold at least one width, got {value!r}.")
    return tuple(integer(width, name, minimum=1) for width in value)


def one_of(value: object, name: str, choices: Iterable[str]) -> str:
    """Check a name against the names that are known.

    Raises
    ------
    TypeError
        If the value is not a string.
    ValueError
        If it is not among the choices.
    """
    names = tuple(choices)
    known = ", ".join(map(repr, names))
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {known}, got {type(value).__name__}")
    if value not in names:
        raise ValueError(f"{name} must be one of {known}, got {value!r}")
    return value


def method(value: object, name: str, kind: type[Any], named: Mapping[str, T]) -> T:
    """Return a method object, or the one of that name.

    Raises
    ------
    TypeError
        If the value is neither a string nor of that kind.
    ValueError
        If there is no method of that name.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be a {kind.__name__} or one of {tuple(named)}, got {type(value).__name__}"
        )
    return named[one_of(value, name, named)]


def generator(
    seed: int | None, name: str = "seed", device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a random number generator of its own, apart from torch's global state.

    Parameters
    ----------
    seed : int or None
        The same seed gives the same bits on one machine; `None` takes fresh entropy.
    name : str
        Name of the argument, for the messages.
    device : torch.device or str
        Device on which the numbers are drawn.

    Raises
    ------
    TypeError
        If the seed is neither an integer nor None.
    ValueError
        If the seed is negative or greater than 2**63 - 1.
    """
    source = torch.Generator(device=device)
    if seed is None:
        source.seed()
        return source
    if integer(seed, name, minimum=0) > MAX_SEED:
        raise ValueError(f"{name} must be at most 2**63 - 1, got {seed}")
    return source.manual_seed(integer(seed, name))


def as_path(value: object, name: str = "path") -> Path:
    """Check a path; `TypeError` if it is none."""
    # Bytes are paths to Python's own functions, but not to pathlib.
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a str or Path, got {type(value).__name__}.")
    return Path(value)


def _real(value: object, name: str, expected: str) -> float:
    number = _scalar(value)
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")
    if not math.isfinite(number):
        raise ValueError(f"{name} must be {expected}, got {value}")
    return float(number)


def _scalar(value: object) -> object:
    """The number in an array or a tensor of no dimensions; what is neither, as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().item() if value.ndim == 0 else value
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


def require_finite(tensor: torch.Tensor, name: str) -> None:
    """`ValueError`, with the first place, if a value is NaN or infinite."""
    # Only finite terms have a finite sum.
    if bool(torch.isfinite(tensor.sum())):
        return
    bad = ~torch.isfinite(tensor)
    count = int(bad.sum())
    if count:
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name} must be finite, got {count} NaN or infinite of {tensor.numel()} values, "
            f"the first at index {first}"
        )
