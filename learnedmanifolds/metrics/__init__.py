"""Figures of merit of restored images."""

from learnedmanifolds.metrics.psnr import psnr

__all__ = ["psnr"]
