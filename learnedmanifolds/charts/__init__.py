"""Decoders as charts: the protocol, flow charts for vectors and analytic charts."""

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
from learnedmanifolds.charts.jet import Jet
from learnedmanifolds.charts.single import SingleChart

__all__ = [
    "Charts",
    "CircleCharts",
    "FlowCharts",
    "GraphCharts",
    "Jet",
    "PlaneCharts",
    "SingleChart",
    "SmoothedUniform",
    "SphereCharts",
    "TorusCharts",
]
