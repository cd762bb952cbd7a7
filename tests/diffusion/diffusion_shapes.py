"""Manifolds whose Laplacian is known, sampled; and a distance between spans."""

import math

import numpy as np
import torch

import learnedmanifolds  # noqa: F401


def regular_circle(n):
    angle = 2 * math.pi * np.arange(n) / n
    return on_circle(angle)


def on_circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def random_circle(n, seed=0):
    return on_circle(2 * math.pi * np.random.default_rng(seed).random(n))


def sphere(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def flat_torus(n, seed=0):
    angles = 2 * math.pi * np.random.default_rng(seed).random((n, 2))
    return np.hstack([on_circle(angles[:, 0]), on_circle(angles[:, 1])])


def torus_grid(n):
    u, v = np.meshgrid(*[2 * math.pi * np.arange(n) / n] * 2)
    return np.hstack([on_circle(u.ravel()), on_circle(v.ravel())])


def dense_angles(n, share):
    """Angles at the quantiles of the density (1 + share cos) / 2 pi, by Newton's method."""
    wanted = 2 * math.pi * (np.arange(n) + 0.5) / n
    angle = wanted.copy()
    for _ in range(200):
        angle -= (angle + share * np.sin(angle) - wanted) / (1 + share * np.cos(angle))
    assert np.abs(angle + share * np.sin(angle) - wanted).max() < 1e-9
    return angle


def rotation_angles(n, seed=0):
    """Angles (n, n) between random rotations, the distances of SO(3)."""
    from scipy.spatial.transform import Rotation

    q = Rotation.random(n, random_state=np.random.default_rng(seed)).as_quat()
    angle = 2 * np.arccos(np.abs(q @ q.T).clip(0, 1))
    np.fill_diagonal(angle, 0)
    return angle


def span_distance(a, b):
    """Sum of the squared sines of the principal angles between the columns' spans."""
    bases = [torch.linalg.qr(torch.as_tensor(m).double()).Q for m in (a, b)]
    cosines = torch.linalg.svdvals(bases[0].mT @ bases[1])
    return float((1 - cosines.square()).sum())
