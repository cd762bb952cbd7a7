"""Atlases on disk: what is in a file is checked before anything is built from it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from learnedmanifolds._record import Record, read
from learnedmanifolds.atlas.atlas import FORMAT, Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.flow import FlowCharts
from learnedmanifolds.charts.image import ImageCharts
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.charts.lifted import LiftedCharts
from learnedmanifolds.charts.network import NetworkCharts
from learnedmanifolds.files.usable import require_usable

FAMILIES: dict[str, type[Charts]] = {
    family.__name__: family
    for family in (FlowCharts, ImageCharts, KernelCharts, LiftedCharts, NetworkCharts)
}
"""Families of charts that files can hold, by the name that stands in the file."""


def save(atlas: Atlas, path: str | Path) -> None:
    """Write an atlas, see `Atlas.save`."""
    atlas.save(path)


def load(path: str | Path) -> Atlas:
    """Read a saved atlas, in the dtype it was saved in, on the CPU.

    Raises
    ------
    TypeError
        If the path is none.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not an atlas of this library, or holds what no atlas has.
    """
    record = read(path)
    try:
        return _atlas(record)
    except ValueError as error:
        raise ValueError(f"{path} must be a saved atlas: {error}") from error


def _atlas(record: Record) -> Atlas:
    header, tensors = record.header, dict(record.tensors)
    if header.get("format") != FORMAT:
        raise ValueError(f"it must be a file of format {FORMAT!r}, got {header.get('format')!r}.")
    missing = {"charts", "config", "noise_std", "tolerance"} - set(header)
    if missing or "weights" not in tensors:
        raise ValueError(f"it must have {', '.join(sorted(missing)) or 'weights'}, got none.")
    family = FAMILIES.get(header["charts"])
    if family is None:
        raise ValueError(
            f"its charts must be of a family {tuple(FAMILIES)}, got {header['charts']!r}; "
            "a newer version of the library may know it."
        )
    for name, tensor in tensors.items():
        # torch hardly computes with numbers of eight bits.
        real = tensor.is_floating_point() and tensor.dtype.itemsize > 1
        if not real or not bool(tensor.isfinite().all()):
            raise ValueError(f"its tensors must hold finite real numbers, got others in {name}.")
    weights = tensors.pop("weights")
    total = float(weights.double().sum())
    if weights.ndim != 1 or bool((weights < 0).any()) or abs(total - 1) > 1e-3:
        raise ValueError(f"its weights must be probabilities (K,), got {weights}.")
    data = {name: tensors.pop(name) for name in list(tensors) if not name.startswith("charts.")}
    state = {name.removeprefix("charts."): tensor for name, tensor in tensors.items()}
    config = _config(header["config"], family, len(weights), state)
    noise_std, tolerance = (_length(header[name], name) for name in ("noise_std", "tolerance"))
    try:
        charts = family.restored(config, state).to(weights.dtype)
    except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ValueError(f"it must hold the weights its header names: {error}") from error
    if charts.n_charts != len(weights):
        raise ValueError(
            f"it must have a weight for each of {charts.n_charts} charts, got {weights}."
        )
    # Weights are stored normalised in their dtype; they go back bit by bit.
    # Files of before are without.
    agreement = _length(header.get("agreement", header["tolerance"]), "agreement")
    atlas = Atlas(charts, None, noise_std, tolerance, agreement, copy_charts=False)
    atlas.weights = weights
    if data:
        atlas.restore_density(data)
    require_usable(atlas)
    return atlas


def _config(
    text: str, family: type[Charts], n_charts: int, state: dict[str, Tensor]
) -> dict[str, Any]:
    """Arguments of a family, none so large that the tensors of the file could not be its own."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its config must be JSON, got {text[:80]!r}.") from error
    known = family.config_names()
    if not isinstance(config, dict) or not set(config) <= set(known):
        raise ValueError(f"its config must name arguments of {family.__name__}, got {config}.")
    needed = {name for name, must in known.items() if must}
    if needed - set(config):
        raise ValueError(f"its config must have {', '.join(sorted(needed - set(config)))}.")
    largest = max((max(tensor.shape, default=1) for tensor in state.values()), default=0)
    for name, value in config.items():
        # The number of layers is bounded by that of the tensors, a width by their largest side.
        bound = len(state) if name.endswith("blocks") or name == "levels" else largest
        sizes = value if isinstance(value, list) else [value]
        fits = all(isinstance(size, int) and 0 <= size for size in sizes)
        if not sizes or not fits or math.prod(sizes) > bound:
            raise ValueError(f"its {name} must fit its tensors, got {value}.")
    if config.get("n_charts", n_charts) != n_charts:
        raise ValueError(f"its n_charts must be the number of weights, {n_charts}, got {config}.")
    return {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}


def _length(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"its {name} must be a number, got {text!r}.") from error
    if not 0 < value < math.inf:
        raise ValueError(f"its {name} must be positive and finite, got {text}.")
    return value
