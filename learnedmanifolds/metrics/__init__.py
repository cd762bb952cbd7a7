"""Figures of merit: of restored images, of samples, of learned manifolds.

Which one says what:

- `psnr`, `ssim`: how near a restored image is to the true one.
- `precision_recall`: which share of the samples is where the data are, and the other way round.
- `mmd`: whether samples and data have the same law, as a test.
- `gromov_wasserstein`: how unlike two sets of points are as metric spaces, wherever they lie.
- `betti_numbers`: components, loops and voids of the space that points come from.
- `bi_lipschitz`: how much a decoder stretches and shrinks distances locally.
- `distance_to`, `coverage`: samples against a manifold that is known.
- `report`: all of them for one model, with the same measures of the data beside.

`gromov_wasserstein` needs POT, `betti_numbers` ripser, `report` both:
``pip install 'learnedmanifolds[metrics]'``.
"""

from learnedmanifolds.metrics._report_table import Measure, Report
from learnedmanifolds.metrics.betti import BettiNumbers, betti_numbers
from learnedmanifolds.metrics.bi_lipschitz import BiLipschitz, bi_lipschitz
from learnedmanifolds.metrics.gromov_wasserstein import GromovWasserstein, gromov_wasserstein
from learnedmanifolds.metrics.kernels import GaussianKernel, InverseMultiquadric, Kernel
from learnedmanifolds.metrics.known_manifold import ManifoldDistance, coverage, distance_to
from learnedmanifolds.metrics.mmd import MMD, mmd
from learnedmanifolds.metrics.precision_recall import PrecisionRecall, precision_recall
from learnedmanifolds.metrics.psnr import psnr
from learnedmanifolds.metrics.report import report
from learnedmanifolds.metrics.ssim import ssim

__all__ = [
    "MMD",
    "BettiNumbers",
    "BiLipschitz",
    "GaussianKernel",
    "GromovWasserstein",
    "InverseMultiquadric",
    "Kernel",
    "ManifoldDistance",
    "Measure",
    "PrecisionRecall",
    "Report",
    "betti_numbers",
    "bi_lipschitz",
    "coverage",
    "distance_to",
    "gromov_wasserstein",
    "mmd",
    "precision_recall",
    "psnr",
    "report",
    "ssim",
]
