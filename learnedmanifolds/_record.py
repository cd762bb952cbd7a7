"""Plain records, a header of strings and tensors, as safetensors files: reading cannot run code."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from learnedmanifolds._check import as_path


@dataclass(frozen=True)
class Record:
    """What a file holds.

    Attributes
    ----------
    header : dict of str
    tensors : dict of Tensor
    """

    header: dict[str, str]
    tensors: dict[str, Tensor]


def write(record: Record, path: str | Path) -> None:
    """Write a record: to a new file in the same folder first, which then takes the name.

    Raises
    ------
    TypeError
        If the path is none.
    OSError
        If there is no such folder, or it cannot be written.
    """
    target = as_path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path must be in a folder that exists, got {str(target)!r}.")
    tensors = {name: tensor.contiguous() for name, tensor in record.tensors.items()}
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        save_file(tensors, name, record.header)
        # safetensors leaves a private file; the new one is as open as files here are.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def read(path: str | Path) -> Record:
    """Read a record; its tensors are on the CPU.

    Raises
    ------
    TypeError
        If the path is none.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or no safetensors file.
    """
    if not as_path(path).is_file():
        raise FileNotFoundError(f"path must be a saved atlas, there is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Record(file.metadata() or {}, tensors)
    except SafetensorError as error:
        raise ValueError(f"{path} must be a whole safetensors file, got: {error}.") from error
