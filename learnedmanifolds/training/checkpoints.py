"""What a checkpoint folder belongs to: a record of data and parameters, compared before it is used."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

_RECORD = "training.json"


def claim(
    folder: Path,
    kind: str,
    data: Mapping[str, Tensor | None],
    parameters: Mapping[str, Any],
    seed: int,
) -> int:
    """Take a folder of checkpoints for a training, or see that it is this training's; its seed.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    kind : str
        Name of the estimator.
    data : mapping from names to Tensor or None
        What is learned from.
    parameters : mapping
        All that decides the result.
    seed : int
        Where ``random_state`` is None, that of the interrupted training is returned instead.

    Raises
    ------
    ValueError
        If the folder holds checkpoints of another training; the message names what differs.
    """
    now = {
        "estimator": kind,
        **{name: "none" if x is None else digest(x) for name, x in data.items()},
        **{name: describe(value) for name, value in parameters.items()},
    }
    record = folder / _RECORD
    first = {"seed": seed}
    if any(folder.rglob("*.ckpt")):
        if not record.exists():
            raise ValueError(
                f"checkpoint_dir must be a new folder or one of the same training, but {folder} holds "
                f"checkpoints without a record ({_RECORD}) of their data and parameters."
            )
        try:
            before = dict(json.loads(record.read_text()))
            first["seed"] = before.pop("seed")
        except (ValueError, TypeError, KeyError) as error:
            raise damaged(record) from error
        if before != now:
            names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            listed = ", ".join(
                f"another {name}"
                if name in data
                else f"{name}={before.get(name)} (now {now.get(name)})"
                for name in names
            )
            raise ValueError(
                f"checkpoint_dir must be a new folder or one of the same training, but {folder} holds "
                f"checkpoints of a training with {listed}."
            )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"checkpoint_dir must be a folder, got the file {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({**now, **first}, indent=1))
    return first["seed"]


def damaged(file: Path) -> ValueError:
    """The error of a file of a checkpoint folder that cannot be read."""
    return ValueError(
        f"checkpoint_dir must hold whole files, but {file} is damaged: delete the folder to start anew."
    )


def digest(x: Tensor) -> str:
    """Shape, dtype and a hash of the values."""
    values = x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return f"{tuple(x.shape)} {x.dtype} {hashlib.sha256(values.tobytes()).hexdigest()[:16]}"


def describe(value: Any) -> str:
    """A text that is the same in another process, for parameters of estimators."""
    if isinstance(value, nn.Module):
        weights = hashlib.sha256()
        for name, tensor in value.state_dict().items():
            weights.update(f"{name} {digest(tensor)}".encode())
        return f"{_named(value)}, weights {weights.hexdigest()[:16]}"
    if isinstance(value, BaseEstimator):
        inner = {name: describe(part) for name, part in value.get_params(deep=False).items()}
        return f"{type(value).__name__}({inner})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(describe, value))})"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _named(value)


def _named(value: Any) -> str:
    """Its repr, without the place in memory that the default one names."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
