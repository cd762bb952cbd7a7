"""Figures of atlases, trajectories and restored images, printable as they are."""

from learnedmanifolds.plot.charts import charts
from learnedmanifolds.plot.conductivity import plot_conductivity
from learnedmanifolds.plot.images import images
from learnedmanifolds.plot.reconstruction import plot_reconstruction
from learnedmanifolds.plot.strips import plot_image_path
from learnedmanifolds.plot.tables import PSNRTable, psnr_table
from learnedmanifolds.plot.trajectories import trajectories

__all__ = [
    "PSNRTable",
    "charts",
    "images",
    "plot_conductivity",
    "plot_image_path",
    "plot_reconstruction",
    "psnr_table",
    "trajectories",
]
