"""What manifolds are made of."""

from __future__ import annotations

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.base import Charts


def as_atlas(source: object, expected: str = "an Atlas or Charts") -> Atlas:
    """The atlas of a source.

    Raises
    ------
    TypeError
        If it is none; of a decoder the message says what makes one of it.
    """
    if isinstance(source, Charts):
        return Atlas(source)
    if isinstance(source, Atlas):
        return source
    hint = ""
    if callable(source):
        hint = "; to use a decoder, wrap it as lm.Immersion or as a subclass of lm.charts.Charts"
    raise TypeError(f"source must be {expected}, got {type(source).__name__}{hint}.")
