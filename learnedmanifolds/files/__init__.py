"""Atlases on disk: our own files, and checkpoints of the published method."""

from learnedmanifolds.files.io import load, save
from learnedmanifolds.files.published import import_published

__all__ = ["import_published", "load", "save"]
