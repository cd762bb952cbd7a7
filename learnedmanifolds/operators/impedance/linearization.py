"""The derivative of the observed potentials, for many directions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor
from learnedmanifolds.operators.base import Linearization
from learnedmanifolds.operators.impedance.assembly import SparseMap
from learnedmanifolds.operators.impedance.system import State, System

# Right-hand sides solved in one block: more leave the cache, and take longer each.
COLUMNS = 32


def linearize(
    state: State,
    system: System,
    pixels: SparseMap,
    scale: float,
    weights: np.ndarray,
    image_shape: tuple[int, ...],
    dtype: torch.dtype,
) -> Linearization:
    """The observation and its derivative from the state at a conductivity.

    Parameters
    ----------
    state : State
    system : System
    pixels : SparseMap, (T, H * W)
        From the image to the triangles.
    scale : float
        S/m per unit of the image.
    weights : ndarray, shape (m,)
        Of the observed potentials in their mean.
    image_shape : tuple of int
    dtype : torch.dtype
        Of the results.
    """
    patterns, observed = system.loads.shape[1], system.observe.forward.shape[0]
    block = max(1, COLUMNS // patterns)

    def potentials(solution: np.ndarray) -> np.ndarray:
        """Observed potentials of solutions (n, V * c), (V, c, m)."""
        values = (system.observe.forward @ solution).T.reshape(-1, patterns, observed)
        return values - (values @ weights)[..., None]

    def push(vectors: np.ndarray) -> np.ndarray:
        sigma = scale * (pixels.forward @ vectors.reshape(len(vectors), -1).T)
        flux = np.concatenate([sigma, sigma])[:, :, None] * state.fields[:, None, :]
        right = -(system.gradient.adjoint @ flux.reshape(len(flux), -1))
        return potentials(state.factor.solve(right))

    def pull(covectors: np.ndarray) -> np.ndarray:
        centred = covectors - covectors.sum(-1, keepdims=True) * weights
        sources = system.observe.adjoint @ centred.reshape(-1, observed).T
        adjoint = system.gradient.forward @ state.factor.solve(sources)
        energy = np.einsum(
            "xtvc,xtc->tv",
            adjoint.reshape(2, -1, len(covectors), patterns),
            state.fields.reshape(2, -1, patterns),
        )
        return (-scale * (pixels.adjoint @ energy)).T.reshape(-1, *image_shape)

    def by_blocks(
        function: Callable[[np.ndarray], np.ndarray],
        name: str,
        shape: tuple[int, ...],
        image: tuple[int, ...],
    ) -> Callable[[Tensor], Tensor]:
        def apply(vectors: Tensor) -> Tensor:
            checked = as_tensor(vectors, name, dtype=torch.float64, shape=(None, *shape))
            array = checked.detach().cpu().numpy()
            if not len(array):
                return torch.zeros(0, *image, dtype=dtype)
            blocks = [array[i : i + block] for i in range(0, len(array), block)]
            return torch.from_numpy(np.concatenate(system.map(function, blocks))).to(dtype)

        return apply

    observation = (patterns, observed)
    return Linearization(
        torch.from_numpy(potentials(state.potentials)[0].copy()).to(dtype),
        by_blocks(push, "vectors", image_shape, observation),
        by_blocks(pull, "covectors", observation, image_shape),
    )
