"""The user's own points from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from learnedmanifolds._check import as_path, as_tensor
from learnedmanifolds.datasets._sources import load_numpy
from learnedmanifolds.datasets.scaling import scale_to_box


def numpy_file(path: str | Path, key: str | None = None, *, scaled: bool = False) -> torch.Tensor:
    """Read points, images or any other data from a NumPy file.

    Parameters
    ----------
    path : str or Path
        A .npy or .npz file with an array (N, *ambient_shape) of real numbers.
    key : str, optional
        Name of the array in a .npz file; it may be left out where there is only one, or one named
        ``x``.
    scaled : bool
        Whether the data are shifted and scaled to the box [-1, 1]^n, see `scale_to_box`.

    Returns
    -------
    torch.Tensor, shape (N, *ambient_shape), float32

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it holds no such array of finite numbers; the message names
        what it holds.
    """
    file = as_path(path)
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key must be the name of an array, got {type(key).__name__}")
    if not file.is_file():
        raise FileNotFoundError(f"path must be a .npy or .npz file, there is no file {file}")
    if file.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"path must be a .npy or .npz file, got {file}")
    try:
        values = _from_numpy(file, key)
    except ValueError as error:
        raise ValueError(f"path must hold a readable array, {file} does not: {error}") from error
    if values.dtype.kind not in "iuf" or values.ndim < 2:
        raise ValueError(
            f"path must hold real numbers of shape (N, *ambient_shape), {file} holds "
            f"{values.dtype} of shape {values.shape}"
        )
    data = as_tensor(values.astype(np.float64), f"data in {file.name}", allow_empty=False)
    return (scale_to_box(data) if scaled else data).float()


def read_points(path: str | Path) -> torch.Tensor:
    """Read points (N, ...) from a .npy, .npz (one array, or one named ``x``) or .csv file.

    A .csv file holds one point a line, numbers separated by commas; a first line that is no
    numbers is taken as a header. A first column without a name in the header is the index that
    pandas writes, and no coordinate.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the kind of file is unknown, or what it holds is not an array of finite numbers (N, ...).
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"data must be a toy's name or a file, there is no file {path}.")
    try:
        values = _read(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"data must be a readable array, {path} is not: {error}") from error
    points = as_tensor(values, f"data in {file.name}", allow_empty=False)
    if points.dim() < 2:
        raise ValueError(
            f"data in {file.name} must have shape (N, ...), got {tuple(points.shape)}."
        )
    return points


def _read(file: Path) -> np.ndarray:
    kind = file.suffix.lower()
    if kind == ".csv":
        # Spreadsheets begin a file with a byte-order mark.
        with file.open(encoding="utf-8-sig") as lines:
            first = [part.strip().strip('"') for part in lines.readline().split(",")]
        skip, columns = 0, None
        if not all(map(_is_number, first)):
            skip = 1
            columns = range(1, len(first)) if first[0] == "" and len(first) > 1 else None
        return np.loadtxt(
            file, delimiter=",", ndmin=2, skiprows=skip, usecols=columns, encoding="utf-8-sig"
        )
    if kind in (".npy", ".npz"):
        return _from_numpy(file)
    raise ValueError(f"expected .npy, .npz or .csv, got {kind!r}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_numpy(file: Path, key: str | None = None) -> np.ndarray:
    (values,) = load_numpy(file, lambda names: [_name(names, key)]).values()
    return values


def _name(names: list[str], key: str | None) -> str:
    """Return the name of the array that is asked for; '' stands for that of a .npy file."""
    if key is not None:
        if key not in names or not key:
            raise ValueError(f"key must be one of {[n for n in names if n]}, got {key!r}")
        return key
    if len(names) != 1 and "x" not in names:
        raise ValueError(f"expected one array or one named 'x', got {names}")
    return "x" if "x" in names else names[0]
