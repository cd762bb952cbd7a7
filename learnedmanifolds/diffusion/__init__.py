"""Diffusion maps: coordinates of data whose topology is unknown, exact and parametric."""

from learnedmanifolds.diffusion.bandwidth import Bandwidth
from learnedmanifolds.diffusion.diffusion_map import DiffusionMap
from learnedmanifolds.diffusion.graph import KernelGraph
from learnedmanifolds.diffusion.spectral_net import SpectralNet

__all__ = ["Bandwidth", "DiffusionMap", "KernelGraph", "SpectralNet"]
