"""The user's own points from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from learnedmanifolds._check import as_tensor


def read_points(path: str | Path) -> torch.Tensor:
    """Read points (N, n) from a .npy, .npz (one array, or one named ``x``) or .csv file.

    A .csv file holds one point a line, numbers separated by commas; a first line that is no
    numbers is taken as a header.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the kind of file is unknown, or what it holds is not an array of finite numbers (N, n).
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"data must be a toy's name or a file, there is no file {path}.")
    try:
        values = _read(file)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"data must be a readable array, {path} is not: {error}") from error
    return as_tensor(values, f"data in {file.name}", shape=(None, None), allow_empty=False)


def _read(file: Path) -> np.ndarray:
    kind = file.suffix.lower()
    if kind == ".csv":
        with file.open() as lines:
            first = lines.readline()
        try:
            [float(part) for part in first.split(",")]
            skip = 0
        except ValueError:
            skip = 1
        return np.loadtxt(file, delimiter=",", ndmin=2, skiprows=skip)
    if kind == ".npy":
        return np.load(file, allow_pickle=False)
    if kind == ".npz":
        with np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if len(names) != 1 and "x" not in names:
                raise ValueError(f"expected one array or one named 'x', got {names}")
            return archive["x" if "x" in names else names[0]]
    raise ValueError(f"expected .npy, .npz or .csv, got {kind!r}")
