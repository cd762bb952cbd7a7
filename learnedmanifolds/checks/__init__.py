"""Numerical checks of manifolds, costs and their derivatives, for any pymanopt manifold."""

from learnedmanifolds.checks.derivatives import check_gradient, check_hessian
from learnedmanifolds.checks.manifold import check_manifold
from learnedmanifolds.checks.maps import check_retraction, check_transport
from learnedmanifolds.checks.result import Check, Property, Report

__all__ = [
    "Check",
    "Property",
    "Report",
    "check_gradient",
    "check_hessian",
    "check_manifold",
    "check_retraction",
    "check_transport",
]
