"""Decoders as charts: the protocol, for vectors, images and analytic ones."""

from learnedmanifolds.charts.analytic import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.density import SmoothedUniform
from learnedmanifolds.charts.flow import FlowCharts
from learnedmanifolds.charts.image import ImageCharts
from learnedmanifolds.charts.jet import Jet
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.charts.learned import LearnedCharts
from learnedmanifolds.charts.lifted import LiftedCharts
from learnedmanifolds.charts.network import NetworkCharts
from learnedmanifolds.charts.single import SingleChart

__all__ = [
    "Charts",
    "CircleCharts",
    "FlowCharts",
    "GraphCharts",
    "ImageCharts",
    "Jet",
    "KernelCharts",
    "NetworkCharts",
    "LearnedCharts",
    "LiftedCharts",
    "PlaneCharts",
    "SingleChart",
    "SmoothedUniform",
    "SphereCharts",
    "TorusCharts",
]
