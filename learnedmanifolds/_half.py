"""Numbers of half precision in files."""

from __future__ import annotations

from torch import Tensor

# Tensors of fewer numbers take little room as they are.
_LARGE = 2**12
# Relative error of half precision; more is lost of numbers that are too small for it.
_ROUNDED = 2.0**-10


def is_large(tensor: Tensor) -> bool:
    """Whether a tensor of numbers is worth to be written in half precision."""
    return tensor.is_floating_point() and tensor.numel() > _LARGE


def halved(tensor: Tensor, name: str) -> Tensor:
    """A tensor in half precision; `ValueError` where that has no such numbers."""
    made, size = tensor.half(), tensor.double().norm()
    # Some numbers may be lost, but not most of what there is.
    if not float((made.double() - tensor).norm()) <= _ROUNDED * size:
        usual = float(size) / tensor.numel() ** 0.5
        raise ValueError(
            f"half must be False for {name} of numbers as large as {usual:.2g}, of which half precision, "
            "between 6e-5 and 65504, keeps too little; choose other units of the data."
        )
    return made


def smaller(tensor: Tensor, name: str) -> Tensor:
    """A tensor in half precision, or, where that has no such numbers, in single."""
    try:
        return halved(tensor, name)
    except ValueError:
        return tensor.float()
