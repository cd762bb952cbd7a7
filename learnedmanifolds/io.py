"""Atlases on disk: safetensors with a JSON header, so that loading cannot run code."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.flow import FlowCharts
from learnedmanifolds.charts.image import ImageCharts
from learnedmanifolds.published import as_path, import_published

__all__ = ["import_published", "load", "save"]

_FORMAT = "learnedmanifolds atlas 1"
_FAMILIES = {"FlowCharts": FlowCharts, "ImageCharts": ImageCharts}


def save(atlas: Atlas, path: str | Path) -> None:
    """Write an atlas: to a new file in the same folder first, which then takes the name.

    Raises
    ------
    TypeError
        If the path is none.
    ValueError
        If the atlas' charts are not of a family with weights, such as analytic ones.
    OSError
        If the folder cannot be written.
    """
    target = as_path(path)
    family = type(atlas.charts).__name__
    if family not in _FAMILIES:
        raise ValueError(f"atlas must have learned charts to be saved, got {family}.")
    header = {
        "format": _FORMAT,
        "charts": family,
        "config": json.dumps(atlas.charts.config()),
        "noise_std": repr(atlas.noise_std),
        "tolerance": repr(atlas.tolerance),
    }
    tensors = {f"charts.{name}": t.contiguous() for name, t in atlas.charts.state_dict().items()}
    tensors["weights"] = atlas.weights.contiguous()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        save_file(tensors, name, header)
        # safetensors leaves a private file; the new one is as open as files here are.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def load(path: str | Path) -> Atlas:
    """Read a saved atlas, in the dtype it was saved in, on the CPU.

    Raises
    ------
    TypeError
        If the path is none.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, or not an atlas of this library.
    """
    if not as_path(path).is_file():
        raise FileNotFoundError(f"path must be a saved atlas, there is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} must be a whole safetensors file, got: {error}.") from error
    if header.get("format") != _FORMAT or header.get("charts") not in _FAMILIES:
        raise ValueError(
            f"{path} must be a file of format {_FORMAT!r}, got {header.get('format')!r}."
        )
    weights = tensors.pop("weights")
    charts = _FAMILIES[header["charts"]](**json.loads(header["config"]))
    charts.to(weights.dtype)
    state = {name.removeprefix("charts."): tensor for name, tensor in tensors.items()}
    try:
        charts.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} must hold the weights its header names: {error}") from error
    # Weights are stored normalised in their dtype; they go back bit by bit.
    atlas = Atlas(charts, None, float(header["noise_std"]), float(header["tolerance"]))
    atlas.weights = weights
    return atlas
