"""Derivatives that the library takes itself, in whatever mode its caller is.

Under `torch.no_grad` and `torch.inference_mode` reverse mode finds no graph, under the second one
forward mode no tangents, and neither says so: the derivatives are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def differentiable() -> Iterator[None]:
    """Where derivatives are recorded; as context, or as decorator of a function."""
    # To set a mode that already holds would disturb the transforms of torch.func.
    leave = torch.is_inference_mode_enabled()
    with torch.inference_mode(False) if leave else torch.enable_grad(), torch.enable_grad():
        yield


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor; of one made in inference mode, which autograd refuses, a copy that it takes."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()
