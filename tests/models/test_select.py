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
    return lm.select(circle(400), [Euclidean(1), Circle()], n=100, **OPTIONS)


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


def test_within_a_standard_error_the_fewer_dimensions_win(monkeypatch):
    """Of five held-out points: R^3 is ahead of the circle by 0.9 +- 1 nats, of the line by 10 +- 1."""
    noise = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]) * math.sqrt(2)
    behind = {1: 0.9, 2: 0.8, 3: 0.0}
    values = {repr(space): -behind[space.dim] + noise * (space.dim < 3) for space in (
        Circle(), Euclidean(2), Euclidean(3))}  # fmt: skip
    values[repr(Euclidean(1))] = -10 + noise
    monkeypatch.setattr(
        lm.ManifoldVAE, "log_likelihood", lambda self, x, n, seed: values[repr(self.latent)]
    )
    spaces = [Euclidean(1), Euclidean(2), Euclidean(3), Circle()]
    ranked = lm.select(circle(25), spaces, hidden=(4,), max_epochs=1).candidates
    assert [c.name for c in ranked] == [repr(spaces[i]) for i in (3, 1, 2, 0)]
    assert ranked[0].difference == pytest.approx(0.9)
    assert ranked[0].difference_error == pytest.approx(1.0)
    assert ranked[2].difference == 0


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
        lm.select(circle(20), candidates, **options)
