import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from learnedmanifolds.datasets import toy
from learnedmanifolds.models import KernelAtlas, MixtureVAE, Schedule
from learnedmanifolds.models.training import AtlasTraining

TINY = Schedule(regression_steps=100, mixture_steps=40, overlap_steps=60, batch_size=32)


def tiny(**arguments):
    return MixtureVAE(
        4, 1, noise_std=0.02, hidden=8, n_blocks=2, schedule=TINY, random_state=3
    ).set_params(**arguments)


def fit(model, x):
    # So short a training may leave data uncovered, and says so.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return model.fit(x)


@pytest.fixture(scope="module")
def small(circles):
    """A tiny training, whole, for all tests that only compare with one."""
    return fit(tiny(), circles)


def test_nothing_is_asked_for_and_everything_found(model):
    assert (model.dim_, model.n_charts_) == (1, 4) == (model.atlas_.dim, model.atlas_.n_charts)
    assert model.atlas_.noise_std == pytest.approx(0.02, rel=0.05)
    assert model.quality_.healthy and not model.left_out_.any()


def test_every_chart_lies_on_the_circles(model):
    truth = toy("two_circles")
    t = torch.linspace(-1, 1, 400).unsqueeze(1)
    for k in range(4):
        held = model.atlas_.charts.domain.depth(t, k) >= 0
        distance = truth.distance(model.atlas_.decode(t[held], k))
        # The bound is two sigma.
        assert 100 < held.sum() and distance.max() < 0.04


def test_the_charts_cover_both_circles(model):
    truth = toy("two_circles")
    grid = truth.grid(2000)
    quality = model.atlas_.quality(grid)
    assert quality.coverage == 1
    assert quality.reconstruction_error < 0.01
    chart = model.transform(grid).chart
    # No chart spans both components.
    for k in range(4):
        assert len(set(truth.component(grid)[chart == k].tolist())) == 1


def test_the_left_inverse_is_exact_after_training(model):
    charts = model.atlas_.to("float64").charts
    t = torch.linspace(-0.9, 0.9, 50).double().view(1, -1, 1).expand(4, -1, -1)
    torch.testing.assert_close(charts.left_inverse(charts.decode(t)), t, rtol=0, atol=1e-9)


def test_training_brings_charts_together(model):
    # Where two charts hold a point, they are apart by less than the noise.
    atlas, grid = model.atlas_, toy("two_circles").grid(2000)
    coords, error = atlas.claims(atlas.flat(grid))
    held = (atlas.charts.domain.depth(coords) >= 0) & (error < 0.02)
    both = held.sum(0) == 2
    assert both.float().mean() > 0.05 and held.any(0).all()
    points = atlas.charts.decode(coords)[:, both]
    # Points first, then the two charts of each.
    one, other = points.movedim(1, 0)[held[:, both].T].view(-1, 2, 2).unbind(1)
    assert float((one - other).norm(dim=1).quantile(0.95)) < 0.02


def test_samples_have_the_law_of_the_data(model):
    truth = toy("two_circles")
    sample = model.sample(4000, seed=0)
    assert float(truth.distance(sample).quantile(0.99)) < 0.06
    # Share of one component: standard error 0.008; charts overlap, so weights are near 1/2 only.
    assert abs(float((sample[:, 0] > 0).float().mean()) - 0.5) < 0.08


def test_transform_and_inverse_transform_are_inverse_on_the_manifold(model):
    sample = model.sample(500, seed=1)
    again = model.inverse_transform(model.transform(sample))
    assert float((again - sample).norm(dim=1).quantile(0.95)) < 0.02


def test_score_prefers_the_data_to_points_off_it(model, circles):
    assert model.score(circles) > model.score(circles * 1.1) + 1
    # The entropy of the data bounds the mean log-likelihood of any model: two circles of length
    # 4 pi together, Gaussian of 0.02 across.
    entropy = math.log(4 * math.pi) + 0.5 * math.log(2 * math.pi * math.e * 0.02**2)
    assert model.score(circles) < -entropy + 0.05


def test_same_seed_same_bits_and_other_seed_other_bits(circles, small):
    a = small.sample(50, seed=0)
    b = fit(tiny(), circles).sample(50, seed=0)
    c = fit(tiny(random_state=4), circles).sample(50, seed=0)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("stop", [70, 120, 170])
def test_interrupted_training_resumes_to_the_same_weights(
    circles, small, tmp_path, monkeypatch, stop
):
    whole = small.atlas_.charts.state_dict()
    step = AtlasTraining.training_step

    def interrupted(self, batch, index):
        if self.global_step == stop:
            raise RuntimeError("power cut")
        return step(self, batch, index)

    model = tiny(checkpoint_dir=tmp_path)
    monkeypatch.setattr(AtlasTraining, "training_step", interrupted)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(model, circles)
    first_steps = []

    def watched(self, batch, index):
        first_steps.append(self.global_step)
        return step(self, batch, index)

    monkeypatch.setattr(AtlasTraining, "training_step", watched)
    resumed = fit(model, circles).atlas_.charts.state_dict()
    assert first_steps[0] == stop // 50 * 50
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_scikit_learn_conventions(model):
    other = clone(model)
    assert other.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        other.sample(3)
    assert model.n_features_in_ == 2
    assert set(model.history_) == {"step", "loss"}


def test_fit_takes_numpy_and_leaves_the_default_dtype(circles):
    fitted = fit(tiny(), circles.double().numpy())
    assert fitted.atlas_.dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32


def test_a_failed_training_is_reported(circles):
    # Without a step of training charts are planes.
    short = Schedule(regression_steps=1, mixture_steps=0, overlap_steps=0)
    with pytest.warns(UserWarning, match="see quality_, and start_.atlas_, which does"):
        model = tiny(schedule=short).fit(circles)
    assert not model.quality_.healthy and model.start_.quality_.healthy


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({}, np.zeros((0, 2)), "x must not be empty"),
        ({}, np.full((100, 2), np.nan), "x must be finite"),
        ({}, np.zeros(100), "x must have shape"),
        ({}, np.ones((100, 2)), "at least 6 different points .*, got 1"),
        ({}, np.random.default_rng(0).normal(size=(100, 1)), "at least 2 features"),
        ({"dim": 3}, np.random.default_rng(0).normal(size=(100, 2)), "dim must be at most"),
        (
            {"n_charts": 90},
            np.random.default_rng(0).normal(size=(80, 2)),
            "n_charts must be at most",
        ),
        ({"noise_std": -1.0}, np.random.default_rng(0).normal(size=(100, 2)), "noise_std must be"),
        ({"random_state": -1}, np.random.default_rng(0).normal(size=(100, 2)), "random_state must"),
        (
            {"n_charts": 0},
            np.random.default_rng(0).normal(size=(100, 2)),
            "n_charts .if not 'auto'. must be",
        ),
    ],
)
def test_bad_input(change, data, message):
    with pytest.raises(ValueError, match=message):
        tiny(**change).fit(data)


def test_bad_types():
    with pytest.raises(TypeError, match="n_charts .if not 'auto'. must be an integer"):
        tiny(n_charts=2.0).fit(np.random.default_rng(0).normal(size=(100, 2)))
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        tiny().fit([["a", "b"]] * 50)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_repetitions_of_few_points_are_counted(count):
    x = np.random.default_rng(0).normal(size=(count, 3))[np.arange(200) % count]
    with pytest.raises(ValueError, match=f"at least 6 different points.*, got {count}"):
        tiny().fit(x)


def test_a_closed_curve_of_clean_pictures_stays_whole():
    # Flows leave more than the tolerance of exact points.
    t = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    yy, xx = np.mgrid[:12, :12]
    ways = (xx - 6 - 2.6 * np.cos(t)[:, None, None], yy - 6 - 2.6 * np.sin(t)[:, None, None])
    x = np.exp(-(ways[0] ** 2 + ways[1] ** 2) / 9)
    model = MixtureVAE(random_state=0).fit(x)
    assert model.quality_.healthy and model.atlas_.components.tolist() == [0, 0]


def test_what_is_no_place_is_named(model):
    with pytest.raises(TypeError, match="located must be charts and coordinates, got int"):
        model.inverse_transform(3)
    with pytest.raises(ValueError, match="x must not be empty"):
        model.score(np.zeros((0, 2)))


def test_data_that_fill_a_part_of_the_space_are_covered():
    # Codes move while flows are trained, and there is no tolerance: domains follow.
    ring = toy("ring").sample(1500, noise=0.0, seed=0)
    model = MixtureVAE(dim=2, random_state=0).fit(ring)
    assert model.atlas_.dim == 2 and model.quality_.coverage > 0.99
    assert float((model.atlas_.project(ring) - ring).norm(dim=1).max()) < 0.05


def test_curves_that_bend_much_get_more_charts():
    x = toy("loop").sample(1500, noise=0.01, seed=0)
    usual, more = KernelAtlas(random_state=0).fit(x), fit(tiny(n_charts="auto", dim="auto"), x)
    assert usual.n_charts_ < more.n_charts_ == more.start_.n_charts_


def test_each_stage_warms_up_and_falls_to_zero():
    plan = Schedule(regression_steps=100, mixture_steps=50, overlap_steps=200)
    stages = [plan.stage(step) for step in range(plan.n_steps)]
    assert [stages.index((name, 0.0)) for name in ("regression", "mixture", "overlap")] == [
        0,
        100,
        150,
    ]
    rates = [plan.rate(step) for step in range(plan.n_steps)]
    for first, last, peak in (
        (0, 99, 1.0),
        (100, 149, plan.mixture_peak),
        (150, 349, plan.overlap_peak),
    ):
        own = rates[first : last + 1]
        assert own[0] < max(own) <= peak and max(own) > 0.9 * peak and own[-1] < 0.01 * peak


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"regression_steps": -5}, ValueError, "regression_steps must be"),
        ({"overlap_steps": 2.5}, TypeError, "overlap_steps must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be"),
        ({"guide_weight": -1.0}, ValueError, "guide_weight must be"),
    ],
)
def test_a_schedule_that_cannot_be(wrong, error, message):
    with pytest.raises(error, match=message):
        Schedule(**wrong)
