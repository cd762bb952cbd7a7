"""Draws from torch's global generator, as torch.distributions makes them, but from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from learnedmanifolds._check import generator


@contextmanager
def seeded(seed: int | None, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Draws inside come from a seed (None: fresh entropy); torch's generators are left as before.

    Parameters
    ----------
    seed : int or None
    devices : sequence of torch.device
        GPUs on which draws are made.
    """
    source = generator(seed)
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(torch.randint(2**62, (), generator=source)))
        yield
