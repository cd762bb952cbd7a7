"""Electrical impedance tomography by finite elements."""

from learnedmanifolds.operators.impedance.boundary import interpolate
from learnedmanifolds.operators.impedance.electrodes import Electrodes
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh
from learnedmanifolds.operators.impedance.operator import ElectricalImpedance

__all__ = ["ElectricalImpedance", "Electrodes", "ImpedanceMesh", "interpolate"]
