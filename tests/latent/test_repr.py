"""Representations of latent spaces: short, complete, and different for different spaces."""

import itertools

import pytest
import torch

from learnedmanifolds.latent import (
    Circle,
    EmbeddedSpace,
    Euclidean,
    LearnedEmbedding,
    Product,
    Projection,
    Rotations,
    Sphere,
    Torus,
)
from learnedmanifolds.latent.beta_uniform import Cube

SHORT = {
    "Circle()": Circle(),
    "Torus(2)": Torus(2),
    "Cube(3)": Cube(3),
    "Euclidean(3)": Euclidean(3, half_width=4),
    "Euclidean(3, half_width=2.5)": Euclidean(3, 2.5),
    "Euclidean(3, half_width=4.0000001)": Euclidean(3, 4.0000001),
    "Sphere(1)": Sphere(1),
    "Sphere(2)": Sphere(2, posterior="von-mises-fisher"),
    "Sphere(2, posterior='power-spherical')": Sphere(2, "power-spherical"),
    "Rotations()": Rotations(max_scale=1.5),
    "Rotations(mean='quaternion')": Rotations("quaternion"),
    "Rotations(max_scale=0.5)": Rotations(max_scale=0.5),
    "Rotations(posterior='isotropic')": Rotations(posterior="isotropic", max_scale=3.0),
    # The default of the other family.
    "Rotations(posterior='isotropic', max_scale=1.5)": Rotations("6d", "isotropic", 1.5),
    "Product(Circle(), Euclidean(1))": Product(Circle(), Euclidean(1)),
    "Product(Euclidean(1), Circle())": Product(Euclidean(1), Circle()),
    "EmbeddedSpace(Projection())": EmbeddedSpace(Projection()),
    "EmbeddedSpace(Projection(dim=2))": EmbeddedSpace(Projection(2)),
    "EmbeddedSpace(Projection(), hidden='normal', rotation=True)": EmbeddedSpace(
        Projection(), "normal", True
    ),
}


def settings(space):
    return {
        name: value
        for name, value in vars(space).items()
        if isinstance(value, str | int | float | tuple)
    }


@pytest.mark.parametrize("expected", [name for name in SHORT if "Product" not in name])
def test_only_what_differs_from_the_default_is_shown(expected):
    space = SHORT[expected]
    assert repr(space) == expected
    again = eval(expected)
    assert type(again) is type(space)
    assert settings(again) == settings(space)


def test_products_show_their_factors():
    for expected in ("Product(Circle(), Euclidean(1))", "Product(Euclidean(1), Circle())"):
        assert repr(SHORT[expected]) == expected
        assert [repr(factor) for factor in eval(expected).factors] == [
            repr(factor) for factor in SHORT[expected].factors
        ]


def test_learned_embeddings_are_told_apart_by_their_weights():
    one, two = (LearnedEmbedding(1, 2, width=8, seed=seed) for seed in (0, 1))
    same = LearnedEmbedding(1, 2, width=8, seed=0)
    names = [repr(EmbeddedSpace(embedding)) for embedding in (one, two, same)]
    assert names[0] == names[2] != names[1]
    assert names[0].startswith("EmbeddedSpace(<LearnedEmbedding(1, 2, width=8), weights ")
    with torch.no_grad():
        same.network[0].bias[0] += 1e-9
    assert repr(same) != repr(one)


def test_a_subclass_with_another_constructor_has_a_representation():
    class Globe(Sphere):
        def __init__(self):
            super().__init__(2)

    assert repr(Globe()) == "Sphere(2)"


def test_all_differ():
    names = [repr(space) for space in SHORT.values()]
    assert all(a != b for a, b in itertools.combinations(names, 2))
