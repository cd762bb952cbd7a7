"""Every estimator on data times s plus o: the same answer, scaled and moved; and on tables."""

import math
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import learnedmanifolds as lm
from learnedmanifolds._random import seeded
from learnedmanifolds.diffusion import DiffusionMap, SpectralNet
from learnedmanifolds.latent import Circle, Product, Sphere
from learnedmanifolds.models import Schedule, spectral_points

SHORT = Schedule(regression_steps=80, mixture_steps=5, overlap_steps=10, batch_size=32)

# One entry an estimator; what `transform` gives for each is compared, and what else it has.
ESTIMATORS = {
    "ManifoldVAE": lambda: lm.ManifoldVAE(
        Circle(), hidden=(16,), max_epochs=8, batch_size=32, learning_rate=5e-3, cosine=True,
        random_state=0,
    ),
    "DiffusionVAE": lambda: lm.DiffusionVAE(2, hidden=(16,), max_steps=40, random_state=0),
    "MixtureVAE": lambda: lm.MixtureVAE(
        2, 1, hidden=8, n_blocks=2, schedule=SHORT, random_state=0
    ),
    "DiffusionMap": lambda: DiffusionMap(2),
    "SpectralNet": lambda: SpectralNet(2, hidden=(16, 16), max_steps=30, random_state=0),
}  # fmt: skip
WITH_POINTS = ("ManifoldVAE", "DiffusionVAE", "MixtureVAE")

# Scales, and offsets in units of them.
PLACES = [(1e-9, 0.0), (1e9, -3.0), (1.0, 1e6), (1e38, 1e3)]


@dataclass(frozen=True)
class Answers:
    """What a fitted estimator says of data, in units in which the data are those of `circle`."""

    latent: torch.Tensor
    points: dict[str, torch.Tensor]
    lengths: dict[str, float]
    densities: dict[str, float]


def circle(n=100):
    return lm.datasets.Circle().sample(n, noise=0.02, seed=0).double()


def fit(name, x):
    # So short trainings say that they are unfinished.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ESTIMATORS[name]().fit(x)


def transformed(model, x):
    z = model.transform(x)
    return (z if isinstance(z, torch.Tensor) else z.coords).double()


def answers(name, model, x, s, o):
    """Ask everything that has units."""
    few = x[:20]
    latent = transformed(model, few)
    if name not in WITH_POINTS:
        width = math.sqrt(model.epsilon_) / s
        rates = model.laplacian_eigenvalues_ * s**2
        return Answers(latent, {}, {"width": width, "rate": float(rates[0])}, {})

    def home(points):
        return (points.double() - o * s) / s

    n = x.shape[1]
    points = {"sample": home(model.sample(20, seed=0))}
    points["reconstruction"] = home(model.inverse_transform(model.transform(few)))
    lengths = {}
    if name != "DiffusionVAE":
        surface = model.atlas_ if name == "MixtureVAE" else model.immersion_
        points["project"] = home(surface.project(few))
        lengths["noise"] = surface.noise_std / s
    densities = {"score": model.score(few) + n * math.log(s)}
    if name == "ManifoldVAE":
        points["interpolate"] = home(model.interpolate(few[:2], few[2:4], 3))
        exact = model.exact_log_likelihood(few, 200).mean()
        densities["exact"] = float(exact) + n * math.log(s)
        lengths["noise_std"] = float(model.network_.log_noise.double().exp()) / s
    if name == "DiffusionVAE":
        points["walk"] = home(model.random_walk(few, 2, seed=0))
        lengths |= {"noise_std": model.noise_std_ / s, "scale": model.scale_ / s}
        latent = latent / s
    if name != "MixtureVAE":
        densities["loss"] = model.history_["loss"][-1] - n * math.log(s)
    return Answers(latent, points, lengths, densities)


@pytest.fixture(scope="module")
def at_home():
    x = circle()
    return {name: answers(name, fit(name, x), x, 1.0, 0.0) for name in ESTIMATORS}


def require_same(found, expected, tolerance, nats):
    torch.testing.assert_close(found.latent, expected.latent, rtol=0, atol=tolerance)
    for what, points in expected.points.items():
        torch.testing.assert_close(found.points[what], points, rtol=0, atol=tolerance)
    for what, value in expected.lengths.items():
        assert found.lengths[what] == pytest.approx(value, rel=tolerance), what
    for what, value in expected.densities.items():
        assert found.densities[what] == pytest.approx(value, abs=nats), what


@pytest.mark.parametrize(("s", "o"), PLACES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_data_scaled_and_moved(name, s, o, at_home):
    """Offset and scale leave float64 data 10 digits; trainings amplify what they round."""
    x = s * (circle() + o)
    model = pickle.loads(pickle.dumps(fit(name, x)))
    # `score` of a float64 model draws other numbers than that of a float32 one.
    require_same(answers(name, model, x, s, o), at_home[name], 3e-3, 0.3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_power_of_two_changes_no_digit(name, at_home):
    x = 2.0**-20 * circle()
    found = answers(name, fit(name, x), x, 2.0**-20, 0.0)
    require_same(found, at_home[name], 1e-5, 1e-4)


@pytest.mark.parametrize("name", WITH_POINTS)
def test_float32_unless_it_is_too_coarse(name):
    near, far = fit(name, circle()), fit(name, circle() + 1e4)
    assert near.sample(2, seed=0).dtype == torch.float32
    assert far.sample(2, seed=0).dtype == torch.float64


@pytest.mark.parametrize("name", ESTIMATORS)
def test_units_beyond_float64_are_refused_by_name(name):
    for s, message in (
        (1e200, "x must be numbers of size at most"),
        (1e-200, "spread of at least"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(name, s * circle())


def test_learned_start_in_any_place():
    x = circle()
    expected = spectral_points(x, Circle(), 0)
    for s, o in PLACES:
        found = spectral_points(s * (x + o), Circle(), 0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_selection_in_any_place():
    """Far data keep their digits on the way; likelihoods are those of float64 and of float32 draws."""
    options = {"hidden": (16,), "max_epochs": 8, "batch_size": 32, "learning_rate": 5e-3, "n": 200}
    home, away = (lm.select(x, [Circle()], **options).best for x in (circle(), circle() + 1e8))
    assert away.log_likelihood == pytest.approx(home.log_likelihood, abs=0.3)
    images = (circle(40) > 0).repeat(1, 3)
    found = lm.select(images, [Circle()], likelihood="bernoulli", **options)
    assert found.best.log_likelihood < 0


# Of data in tables.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_tables_are_arrays_with_names(name):
    x = circle(60)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"], index=range(7, 67))
    from_array, from_frame = fit(name, x), fit(name, frame.convert_dtypes())
    assert torch.equal(transformed(from_array, x), transformed(from_frame, frame))
    assert list(from_frame.feature_names_in_) == ["a", "b"]
    assert not hasattr(from_array, "feature_names_in_")
    for other, message in ((frame[["b", "a"]], "other order"), (frame.add_suffix("x"), "columns")):
        for method in ("transform", "score"):
            if hasattr(from_frame, method):
                with pytest.raises(ValueError, match=f"feature names of fit.*{message}"):
                    getattr(from_frame, method)(other)
    assert torch.equal(transformed(from_frame, x), transformed(from_frame, frame))
    assert not hasattr(
        from_frame.fit(x) if name == "DiffusionMap" else from_array, "feature_names_in_"
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_pandas_output(name):
    x = circle(60)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"], index=range(7, 67))
    model = fit(name, frame)
    values = transformed(model, x)
    table = model.set_output(transform="pandas").transform(x=frame)
    names = list(model.get_feature_names_out())
    assert list(table.columns) == names and list(table.index) == list(frame.index)
    assert names[-1].startswith(name.lower())
    coords = table[[column for column in names if not column.endswith("chart")]]
    np.testing.assert_allclose(coords.to_numpy(), values.numpy())
    if name == "MixtureVAE":
        located = model.set_output(transform="default").transform(frame)
        assert table["mixturevae_chart"].tolist() == located.chart.tolist()
    # What a model asks of itself stays a tensor.
    if name in WITH_POINTS:
        assert isinstance(model.sample(2, seed=0), torch.Tensor)
    assert isinstance(model.set_output(transform="default").transform(frame)[0], torch.Tensor)
    with pytest.raises(ValueError, match="transform must be one of"):
        model.set_output(transform="csv")
    assert clone(model.set_output(transform="pandas"))._sklearn_output_config == {
        "transform": "pandas"
    }


def test_pandas_output_in_a_pipeline_and_of_latent_matrices():
    frame = pd.DataFrame(circle(60).numpy(), columns=["a", "b"])
    steps = make_pipeline(DiffusionMap(2)).set_output(transform="pandas")
    assert list(steps.fit_transform(frame).columns) == ["diffusionmap0", "diffusionmap1"]
    options = {"hidden": (8,), "max_epochs": 1, "random_state": 0}
    model = lm.ManifoldVAE(lm.latent.Rotations(), **options).fit(frame)
    assert model.set_output(transform="pandas").transform(frame).shape == (60, 9)
    assert len(model.get_feature_names_out()) == 9


CALLS = {
    "transform": {"x": 0},
    "inverse_transform": {"z": 1},
    "decode": {"z": 1},
    "posterior": {"x": 0},
    "coordinates": {"x": 0},
    "elbo": {"x": 0},
    "log_likelihood": {"x": 0, "n": 2},
    "exact_log_likelihood": {"x": 0, "n_nodes": 20},
    "score": {"x": 0},
    "interpolate": {"start": 0, "end": 0},
    "covariance": {"x": 0},
    "random_walk": {"x": 0, "steps": 1},
    "sample": {"n": 2},
    "get_feature_names_out": {},
    "plot": {},
    "immersion_": None,
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_methods_take_their_arguments_by_name_and_say_when_nothing_is_fitted(name):
    x = circle(60)
    fitted, fresh = fit(name, x), ESTIMATORS[name]()
    asked = 0
    for method, arguments in CALLS.items():
        if not hasattr(type(fitted), method):
            continue
        asked += 1
        if arguments is None:
            with pytest.raises(NotFittedError):
                getattr(fresh, method)
            continue
        z = fitted.transform(x)
        given = {key: (x, z)[value] if key in ("x", "z", "start", "end") else value
                 for key, value in arguments.items()}  # fmt: skip
        if name == "MixtureVAE" and "z" in given:
            given = {"located": given["z"]}
        getattr(fitted, method)(**given)
        with pytest.raises(NotFittedError):
            getattr(fresh, method)(**given)
    assert asked >= 4


# Of what units `ManifoldVAE` keeps.


def test_given_modules_see_and_make_the_data_themselves():
    x, seen = 5 + 2 * circle(), []

    class Watched(torch.nn.Linear):
        def forward(self, data):
            seen.append(data)
            return super().forward(data)

    class Boxed(torch.nn.Module):
        """Ends in the box [2, 8]^2 of the data, as a last sigmoid does for pictures."""

        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, z):
            return 5 + 3 * self.linear(z).tanh()

    with seeded(0):
        options = {"encoder": Watched(2, 3), "decoder": Boxed(), "max_epochs": 60}
    with warnings.catch_warnings():
        # A linear encoder is a poor one.
        warnings.simplefilter("ignore", UserWarning)
        model = lm.ManifoldVAE(Circle(), learning_rate=1e-2, random_state=0, **options).fit(x)
    assert abs(float(torch.cat(seen).mean()) - 5) < 0.1
    assert type(model.network_.encoder) is Watched and type(model.network_.decoder) is Boxed
    assert abs(float(model.sample(500, seed=0).mean()) - 5) < 0.5
    miss = (model.decode(model.posterior(x).sample()) - x).square().mean().sqrt()
    assert float(model.network_.log_noise.exp()) == pytest.approx(float(miss), rel=0.15)


def test_bernoulli_data_stay_where_they_are_and_may_be_bools():
    images = torch.rand(80, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    options = {"likelihood": "bernoulli", "hidden": (8,), "max_epochs": 2, "random_state": 0}
    model = lm.ManifoldVAE(Circle(), **options).fit(images)
    plain = lm.ManifoldVAE(Circle(), **options).fit(images.float())
    assert torch.equal(model.decode(model.transform(images)), plain.decode(plain.transform(images)))
    assert model.score(images) == plain.score(images.double())
    assert 0 <= float(model.sample(5, seed=0).min()) <= float(model.sample(5, seed=0).max()) <= 1
    with pytest.raises(TypeError, match="array of numbers"):
        lm.ManifoldVAE(Circle()).fit(images)


def test_an_action_is_one_on_the_data_themselves():
    x, seen = 3 + 100 * circle(), []

    def action(data, z):
        seen.append(data)
        return data, z

    lm.ManifoldVAE(Circle(), action=action, hidden=(8,), max_epochs=1, random_state=0).fit(x)
    assert float(torch.cat(seen).std()) == pytest.approx(float(x.std()), rel=1e-3)
    assert float(torch.cat(seen).mean()) == pytest.approx(float(x.mean()), abs=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_no_collapse_at_a_large_learning_rate(seed):
    x = circle(200)
    options = {"learning_rate": 5e-3, "max_epochs": 25, "batch_size": 32}
    model = lm.ManifoldVAE(Circle(), random_state=seed, **options).fit(x)
    radius = model.sample(100, seed=0).norm(dim=1)
    assert 0.8 < float(radius.min()) and float(radius.max()) < 1.2


def test_a_collapsed_fit_warns():
    """Without the warm-up the posteriors become the prior."""
    options = {"learning_rate": 5e-3, "max_epochs": 15, "batch_size": 32, "warmup": 0}
    with pytest.warns(UserWarning, match=r"explains \d\.\d% of the variance.*collapsed"):
        lm.ManifoldVAE(Circle(), random_state=0, **options).fit(circle(200))


def test_float64_on_every_latent_space_of_far_data():
    x = torch.cat([circle(40), circle(40)], 1)[:, :3] + 1e5
    options = {"hidden": (8,), "max_epochs": 1, "random_state": 0}
    for latent in (Sphere(2), lm.latent.Rotations(), lm.latent.Torus(1), lm.latent.Euclidean(2),
                   Product(Circle(), Sphere(2))):  # fmt: skip
        model = lm.ManifoldVAE(latent, **options).fit(x)
        for value in (model.transform(x), model.sample(2, seed=0), model.elbo(x, seed=0)):
            assert value.dtype == torch.float64 and bool(value.isfinite().all())
        assert model.log_likelihood(x[:3], 5, seed=0).dtype == torch.float64
