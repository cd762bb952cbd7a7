"""Which latent manifold do data want?"""

import math

import pytest
import torch

import learnedmanifolds as lm
from learnedmanifolds.latent import Circle, Euclidean

OPTIONS = {"hidden": (32,), "max_epochs": 60, "learning_rate": 1e-2, "cosine": True}


def circle(n):
    angle = 2 * math.pi * torch.rand(n, generator=torch.Generator().manual_seed(0))
    x = torch.stack([angle.cos(), angle.sin()], 1) @ torch.randn(
        2, 8, generator=torch.Generator().manual_seed(1)
    )
    return x + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def selection():
    return lm.latent.select(circle(400), [Euclidean(1), Circle()], n=100, **OPTIONS)


def test_the_circle_wins_on_a_circle(selection):
    assert selection.best.name == repr(Circle())
    last = selection.candidates[-1]
    assert last.difference > 3 * last.difference_error > 0
    assert selection.best.difference == 0


def test_figures_are_of_the_held_out_data(selection):
    for candidate in selection.candidates:
        assert candidate.log_likelihood in candidate.trainings
    gap = selection.best.log_likelihood - selection.candidates[-1].log_likelihood
    assert gap == pytest.approx(selection.candidates[-1].difference, abs=1e-3)
    assert selection.n_held_out == 80
    assert list(selection.to_frame().index) == [c.name for c in selection.candidates]
    assert "Circle" in repr(selection)


def test_figure(selection):
    figure = selection.plot()
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        c.name for c in selection.candidates
    ]


@pytest.mark.parametrize(
    ("candidates", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one"),
        (3, {}, TypeError, "candidates must be a sequence or mapping"),
        ([Circle(), 3], {}, TypeError, "must be a LatentSpace"),
        ([Circle(), Circle()], {}, ValueError, "candidates must differ"),
        ([Circle()], {"held_out": 1.5}, ValueError, "held_out"),
        ([Circle()], {"n_trainings": 0}, ValueError, "n_trainings"),
    ],
)
def test_bad_input(candidates, options, error, message):
    with pytest.raises(error, match=message):
        lm.latent.select(circle(20), candidates, **options)
