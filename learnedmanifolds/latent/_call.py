"""Short representations of objects: the call that makes them."""

from __future__ import annotations

import inspect


def call(kind: type, **arguments: object) -> str:
    """``Kind(value, name=value)``, without the arguments that are at their defaults."""
    parameters = inspect.signature(kind).parameters
    parts = []
    for name, value in arguments.items():
        default = parameters[name].default
        if default is inspect.Parameter.empty:
            parts.append(repr(value))
        elif value != default:
            parts.append(f"{name}={value!r}")
    return f"{kind.__name__}({', '.join(parts)})"
