"""Electrical impedance tomography by finite elements."""

from learnedmanifolds.inverse.operators.impedance.boundary import interpolate
from learnedmanifolds.inverse.operators.impedance.electrodes import Electrodes
from learnedmanifolds.inverse.operators.impedance.mesh import ImpedanceMesh
from learnedmanifolds.inverse.operators.impedance.operator import ElectricalImpedance

__all__ = ["ElectricalImpedance", "Electrodes", "ImpedanceMesh", "interpolate"]
