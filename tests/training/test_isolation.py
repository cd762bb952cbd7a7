"""A seeded training has one result, whatever else goes on in the process, and leaves no trace in it."""

import functools
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from trained import MODELS, TRAININGS, X, manifold, results, same

from learnedmanifolds.latent import Circle, Euclidean, Rotations, Sphere, Torus
from learnedmanifolds.models import ManifoldVAE, select, spectral_points
from learnedmanifolds.training.shared import Shared, threads_for

pytestmark = pytest.mark.filterwarnings("ignore:The atlas does not hold the data:UserWarning")


@pytest.fixture
def double():
    """Run a function where torch's default dtype is float64."""

    def run(function):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return function()
        finally:
            torch.set_default_dtype(before)

    return run


@functools.cache
def usual(name):
    """What a model finds with nothing else going on."""
    return results(MODELS[name]().fit(X))


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", MODELS)
def test_the_default_dtype_changes_nothing(name, double):
    model = MODELS[name]().fit(X)
    single = results(model)
    assert same(single, double(lambda: results(model)))
    assert same(single, double(lambda: results(MODELS[name]().fit(X))))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_may_be_switched_off_around_a_training(name, mode):
    expected = usual(name)
    with mode():
        model = MODELS[name]().fit(X)
        inside = results(model)
    assert same(expected, inside)
    assert same(expected, results(model))


@pytest.mark.parametrize(
    "space", [Circle(), Euclidean(2), Rotations(), Sphere(2), Torus(2)], ids=repr
)
def test_the_default_dtype_changes_nothing_on_any_latent_space(space, double):
    def run():
        model = ManifoldVAE(space, hidden=(8,), max_epochs=1, random_state=0).fit(X)
        return results(model)

    assert same(run(), double(run))


def test_the_default_dtype_changes_no_spectral_start_and_no_selection(double):
    def run():
        options = {"hidden": (8,), "max_epochs": 1}
        found = select(X, [Circle(), Euclidean(1)], **options)
        starts = spectral_points(X, Circle())
        return [starts, torch.tensor([c.log_likelihood for c in found.candidates]).double()]

    assert same(run(), double(run))


def test_given_networks_of_another_dtype_are_trained_in_single_precision():
    def networks(dtype):
        torch.manual_seed(3)
        return {"encoder": nn.Linear(2, 3), "decoder": nn.Linear(2, 2)} if dtype is None else {
            "encoder": nn.Linear(2, 3).to(dtype), "decoder": nn.Linear(2, 2).to(dtype)
        }  # fmt: skip

    one = manifold(**networks(None)).fit(X)
    assert same(results(one), results(manifold(**networks(torch.float64)).fit(X)))


@pytest.mark.parametrize("name", MODELS)
def test_four_threads_find_what_one_finds(name):
    def run(seed):
        return results(MODELS[name](random_state=seed).fit(X))

    alone = [run(seed) for seed in (0, 1)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, [0, 1, 0, 1]))
    assert [same(a, b) for a, b in zip(alone * 2, together, strict=True)] == [True] * 4
    assert not same(alone[0], alone[1])


def test_likelihoods_and_samples_are_the_same_in_threads():
    model = manifold().fit(X)
    alone = [results(model)] * 12
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: results(model), range(12)))
    assert all(map(same, alone, together))


@pytest.mark.parametrize("name", MODELS)
def test_the_global_generator_is_neither_read_nor_changed(name):
    found = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(results(MODELS[name]().fit(X)))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*found)


def test_draws_of_given_networks_and_actions_come_from_the_seed():
    class Turn:
        def __call__(self, x, z):
            angle = 6.3 * torch.rand(len(x), 1)
            turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1)
            turn = turn.view(-1, 2, 2)
            return (turn @ x.unsqueeze(-1)).squeeze(-1), (turn @ z.unsqueeze(-1)).squeeze(-1)

    encoder = nn.Sequential(nn.Linear(2, 16), nn.Dropout(0.3), nn.SiLU(), nn.Linear(16, 3))
    found = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(results(manifold(encoder=encoder, action=Turn()).fit(X)))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*found)


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupt_stays_an_interrupt(name, monkeypatch, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    training = TRAININGS[name]
    step = training.training_step

    def interrupted(self, batch, index):
        if self.global_step == 7:
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(training, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MODELS[name](checkpoint_dir=tmp_path).fit(X)
    # A second Ctrl+C is heard too.
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    again = MODELS[name](checkpoint_dir=tmp_path).fit(X)
    assert same(results(again), usual(name))


def test_an_exit_is_no_interrupt(monkeypatch):
    def leaves(self, batch, index):
        raise SystemExit(3)

    monkeypatch.setattr(TRAININGS["manifold"], "training_step", leaves)
    with pytest.raises(SystemExit, match="3"):
        manifold().fit(X)


@pytest.mark.parametrize("name", MODELS)
def test_small_networks_train_on_one_thread_also_when_they_fail(name, monkeypatch, two_threads):
    seen = []

    def watched(self, batch, index):
        seen.append(torch.get_num_threads())
        raise KeyError("stop")

    monkeypatch.setattr(TRAININGS[name], "training_step", watched)
    with pytest.raises(KeyError):
        MODELS[name]().fit(X)
    assert seen == [1]
    assert torch.get_num_threads() == 2
    monkeypatch.undo()
    if name == "manifold":
        MODELS[name](max_epochs=1).fit(X)
        assert torch.get_num_threads() == 2


def test_large_networks_keep_their_threads(monkeypatch, two_threads):
    seen = []

    def watched(self, batch, index):
        seen.append(torch.get_num_threads())
        raise KeyError("stop")

    monkeypatch.setattr(TRAININGS["manifold"], "training_step", watched)
    with pytest.raises(KeyError):
        manifold(hidden=(4096, 4096), batch_size=64).fit(X)
    assert seen == [2]


def test_the_number_of_threads_is_restored_when_four_trainings_end_in_turn(two_threads):
    inside, turns = threading.Barrier(4), [threading.Event() for _ in range(4)]

    def run(place):
        with threads_for(1.0):
            inside.wait()
            within = torch.get_num_threads()
            turns[place].wait()
        return within, torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(run, place) for place in range(4)]
        for turn, task in zip(turns, tasks, strict=True):
            turn.set()
            assert task.result() == (1, 2)
    assert torch.get_num_threads() == 2
    # What a thread starts with is the number of the process.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


def test_filters_of_warnings_are_as_before_when_trainings_overlap():
    quiet = Shared(warnings.catch_warnings)
    before = list(warnings.filters)
    quiet.__enter__()
    warnings.simplefilter("ignore")
    quiet.__enter__()
    quiet.__exit__(None, None, None)
    assert warnings.filters != before
    quiet.__exit__(None, None, None)
    assert warnings.filters == before
