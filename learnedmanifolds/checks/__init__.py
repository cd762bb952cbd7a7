"""Numerical checks of manifolds, costs, operators and their derivatives."""

from learnedmanifolds.checks.derivatives import check_gradient, check_hessian
from learnedmanifolds.checks.manifold import check_manifold
from learnedmanifolds.checks.maps import check_retraction, check_transport
from learnedmanifolds.checks.operator import check_adjoint
from learnedmanifolds.checks.result import Check, Property, Report
from learnedmanifolds.checks.validated import Validated

__all__ = [
    "Check",
    "Property",
    "Report",
    "Validated",
    "check_adjoint",
    "check_gradient",
    "check_hessian",
    "check_manifold",
    "check_retraction",
    "check_transport",
]
