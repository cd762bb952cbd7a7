"""Files of known data sets: where each can be had, and the checks of what a file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learnedmanifolds._check import as_path
from learnedmanifolds._convert import Shape, describe, fits


@dataclass(frozen=True)
class Source:
    """Where a data set can be had, and how its file looks.

    Attributes
    ----------
    title : str
        Name of the data set.
    url : str
        Public address.
    arrays : mapping of str to shape
        Names and shapes of the arrays in the file; the name of a .npy file's only array is ''.
    note : str
        What else the user has to know to get such a file.
    """

    title: str
    url: str
    arrays: Mapping[str, Shape]
    note: str = ""

    @property
    def format(self) -> str:
        """The arrays, in words."""
        return _listed({name: describe(shape) for name, shape in self.arrays.items()})


def read_mat(path: str | Path, source: Source) -> dict[str, np.ndarray]:
    """Read the arrays of a data set from a MATLAB file, version 5 to 7.2.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it is not one of this data set.
    """
    file = _existing(path, source)
    # SciPy takes half a second to import, which the rest of the package does not need.
    from scipy.io import loadmat

    try:
        content = loadmat(file)
    except Exception as error:  # SciPy has no common error for foreign and truncated files
        raise _unreadable(file, source, "a readable MATLAB file", error) from error
    return _checked({k: v for k, v in content.items() if not k.startswith("__")}, file, source)


def read_numpy(path: str | Path, source: Source) -> dict[str, np.ndarray]:
    """Read the arrays of a data set from a .npy or .npz file.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it is not one of this data set.
    """
    file = _existing(path, source)
    try:
        content = load_numpy(file, list)
    except ValueError as error:
        raise _unreadable(file, source, "a readable NumPy file", error) from error
    return _checked(content, file, source)


def load_numpy(file: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, np.ndarray]:
    """Read the chosen arrays of a .npy or .npz file; a .npy file has one, with the name ''.

    Raises
    ------
    ValueError
        If the file cannot be read, or by the choice.
    """
    try:
        # A file that NumPy opens stays open where it turns out to be no archive.
        with file.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {name: content for name in choose([""])}
            return {name: np.asarray(content[name]) for name in choose(content.files)}
    except ValueError:
        raise
    except Exception as error:  # those of zipfile, zlib and the parser of headers
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _existing(path: str | Path, source: Source) -> Path:
    file = as_path(path)
    if not file.is_file():
        note = f" {source.note}" if source.note else ""
        raise FileNotFoundError(
            f"path must be the file of {source.title}, there is no file {file}. It can be had at "
            f"{source.url} and holds {source.format}.{note}"
        )
    return file


def _unreadable(file: Path, source: Source, expected: str, error: Exception) -> ValueError:
    return ValueError(
        f"path must be {expected} with {source.format} for {source.title}, {file} is not: {error}"
    )


def _checked(found: Mapping[str, np.ndarray], file: Path, source: Source) -> dict[str, np.ndarray]:
    good = all(
        isinstance(found.get(name), np.ndarray)  # a MATLAB file may hold sparse matrices
        and found[name].dtype.kind in "iuf"
        and found[name].size > 0
        and fits(found[name].shape, shape)
        for name, shape in source.arrays.items()
    )
    if not good:
        there = _listed({k: f"{describe(v.shape)} {v.dtype}" for k, v in found.items()})
        raise ValueError(
            f"path must hold {source.format}, numbers, for {source.title}; {file} holds {there}"
        )
    for name in source.arrays:
        if not np.isfinite(found[name]).all():
            raise ValueError(f"{name or 'the array'} in {file} must be finite, got NaN or infinity")
    return {name: found[name] for name in source.arrays}


def _listed(arrays: Mapping[str, str]) -> str:
    return ", ".join(f"{name or 'one array'} {what}" for name, what in arrays.items()) or "nothing"
