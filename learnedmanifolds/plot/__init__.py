"""Figures of atlases, trajectories and restored images, printable as they are."""

from learnedmanifolds.plot.charts import charts
from learnedmanifolds.plot.images import images
from learnedmanifolds.plot.trajectories import trajectories

__all__ = ["charts", "images", "trajectories"]
