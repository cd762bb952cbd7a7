"""Seeds of trainings that are started more than once."""

from __future__ import annotations

import torch

from learnedmanifolds._check import integer

_STRIDE = 7919


def start_seeds(random_state: int | None, count: int) -> list[int]:
    """One seed a start, the first the given one or, for None, drawn from torch's generator.

    Raises
    ------
    TypeError, ValueError
        If ``random_state`` is neither None nor an integer of at least 0.
    """
    if random_state is None:
        first = int(torch.empty((), dtype=torch.int64).random_(2**31))
    else:
        first = integer(random_state, "random_state", minimum=0)
    return [first + _STRIDE * start for start in range(count)]
