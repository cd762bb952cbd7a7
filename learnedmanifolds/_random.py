"""Draws that torch makes without being given a generator, but from a seed, in every thread alone.

Distributions, initialisations of layers and users' own functions draw from torch's global generator,
in torch's default dtype. Both are one for all threads. Within `seeded` such draws come from generators
of the block's own, in float32, and torch's global state is neither read nor changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from learnedmanifolds._check import generator

# What takes a generator.
_DRAWS = frozenset(
    [
        *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.poisson),
        *(torch.bernoulli, torch.multinomial, torch.binomial),
        *(torch._standard_gamma, torch._sample_dirichlet),
        *(Tensor.uniform_, Tensor.normal_, Tensor.exponential_, Tensor.random_, Tensor.bernoulli_),
        *(Tensor.cauchy_, Tensor.geometric_, Tensor.log_normal_),
        *(Tensor.bernoulli, Tensor.multinomial),
        *(nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_),
    ]
)
# What draws and takes none.
_LAYERS = frozenset(
    [
        *(torch.rand_like, torch.randn_like, torch.randint_like, torch.rrelu),
        *(torch.dropout, torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout),
        *(nn.functional.dropout, nn.functional.dropout1d, nn.functional.dropout2d),
        *(nn.functional.dropout3d, nn.functional.alpha_dropout, nn.functional.rrelu),
        *(nn.functional.feature_alpha_dropout, nn.functional.gumbel_softmax),
        nn.functional.scaled_dot_product_attention,
        nn.functional.multi_head_attention_forward,
        *(nn.functional.fractional_max_pool2d, nn.functional.fractional_max_pool3d),
    ]
)
# Whose results are floating whatever they are given, and those that depend on it.
_FLOATING = frozenset(
    [
        *(torch.rand, torch.randn, torch.empty, torch.zeros, torch.ones, torch.eye),
        *(torch.linspace, torch.logspace),
    ]
)
_OF_NUMBERS = frozenset([torch.tensor, torch.as_tensor, torch.full, torch.arange])
# All others, nearly every call, are passed on at once.
_WATCHED = _DRAWS | _LAYERS | _FLOATING | _OF_NUMBERS

# Of the moments in which torch's global generator stands for one of ours.
_global = threading.RLock()


class _Draws(TorchFunctionMode):
    """Gives a generator and a dtype to the calls of this thread that have none."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._sources: dict[torch.device, torch.Generator] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in _WATCHED:
            return func(*args, **(kwargs or {}))
        given = dict(kwargs or {})
        untyped = given.get("dtype") is None
        if untyped and func in _FLOATING:
            given["dtype"] = torch.float32
        draws = func in _DRAWS and given.get("generator") is None
        if draws or func in _LAYERS:
            device = _device(args, given)
            # On the meta device there are shapes only.
            if device.type != "meta" and draws:
                given["generator"] = self._source(device)
            elif device.type != "meta":
                with _as_global(self._source(device)):
                    return func(*args, **given)
        made = func(*args, **given)
        if untyped and func in _OF_NUMBERS and _of_python_floats(made, (*args, *given.values())):
            return made.to(torch.float32)
        return made

    def _source(self, device: torch.device) -> torch.Generator:
        if device not in self._sources:
            self._sources[device] = torch.Generator(device).manual_seed(self._seed)
        return self._sources[device]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws of this thread inside come from a seed (None: fresh entropy), in float32 by default.

    Parameters
    ----------
    seed : int or None
    """
    source = generator(seed)
    with _Draws(int(torch.randint(2**62, (), generator=source))):
        yield


def _device(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.device:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            return value.device
    device = kwargs.get("device")
    return torch.get_default_device() if device is None else torch.device(device)


def _of_python_floats(made: Tensor, given: tuple[Any, ...]) -> bool:
    """Whether numbers without a dtype of their own became floating ones of the default dtype."""
    own = any(isinstance(value, Tensor) or hasattr(value, "dtype") for value in _flat(given))
    return made.dtype == torch.get_default_dtype() and not own


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


@contextmanager
def _as_global(source: torch.Generator) -> Iterator[None]:
    """Let torch's global generator of a device be this one, and go back."""
    cuda = source.device.type == "cuda"
    with _global:
        before = torch.cuda.get_rng_state(source.device) if cuda else torch.get_rng_state()
        try:
            _set_global(source.get_state(), source.device)
            yield
            now = torch.cuda.get_rng_state(source.device) if cuda else torch.get_rng_state()
            source.set_state(now)
        finally:
            _set_global(before, source.device)


def _set_global(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
