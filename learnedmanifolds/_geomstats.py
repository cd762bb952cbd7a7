"""geomstats with its PyTorch backend, imported without a trace in torch's settings."""

from __future__ import annotations

import os
import sys

import torch


def require_geomstats() -> None:
    """Import geomstats' PyTorch backend; torch's default dtype is as before.

    Raises
    ------
    ImportError
        If geomstats was imported before with another backend.
    """
    if "geomstats.backend" not in sys.modules:
        os.environ.setdefault("GEOMSTATS_BACKEND", "pytorch")
    before = torch.get_default_dtype()
    already = "geomstats.backend" in sys.modules
    try:
        import geomstats.backend as gs
    finally:
        if not already:
            torch.set_default_dtype(before)
    if not gs.__name__.endswith("pytorch"):
        raise ImportError(
            f"learned manifolds need geomstats' PyTorch backend, but geomstats runs on {gs.__name__}; "
            f"set the environment variable GEOMSTATS_BACKEND=pytorch before geomstats is imported."
        )
