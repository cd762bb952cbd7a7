"""Settings of the whole process that several threads may want at once: threads, warnings, log levels."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

import torch

# Multiply-adds of a forward pass below which one thread is as fast as two, and far faster on a busy
# machine: threads then wait for one another longer than they compute.
_WORK = 2**26

_lock = threading.Lock()
_inside = 0
_outside = 1


class Shared:
    """A context that the first of several threads enters, and that the last of them leaves.

    Parameters
    ----------
    make : callable
        Gives the context.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make, self._lock, self._count = make, threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._count == 0:
                self._context = self._make()
                self._context.__enter__()
            self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self._context.__exit__(None, None, None)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Lightning gives advice on data loaders and loggers, of which our trainings need none."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning|pytorch_lightning|torch")
            yield
    finally:
        logger.setLevel(level)


quiet = Shared(_without_advice)


@contextmanager
def threads_for(work: float) -> Iterator[None]:
    """As many threads as a network is worth: one where it is small, else what torch has.

    torch keeps the number for the thread that sets it and, for threads that start later, for the whole
    process; both are as before when the last block ends, whatever ended it.

    Parameters
    ----------
    work : float
        Multiply-adds of a forward pass of one batch.
    """
    global _inside, _outside
    if work >= _WORK:
        yield
        return
    with _lock:
        before = torch.get_num_threads()
        if _inside == 0:
            _outside = before
        elif before == 1:
            # A thread that started while others train has their number, not the process's.
            before = _outside
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(before)
