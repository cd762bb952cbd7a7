"""`seeded`: the draws that torch would make from its global generator, from one of the block's own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import distributions, nn

from learnedmanifolds._check import generator
from learnedmanifolds._random import seeded

ONE, HALF = torch.ones(3), torch.full((3,), 0.5)
DRAWS = {
    "normal": lambda: distributions.Normal(HALF, ONE).rsample((4,)),
    "beta": lambda: distributions.Beta(ONE, HALF).rsample((4,)),
    "dirichlet": lambda: distributions.Dirichlet(HALF).rsample((4,)),
    "gamma": lambda: distributions.Gamma(HALF, ONE).rsample((4,)),
    "student": lambda: distributions.StudentT(ONE).rsample((4,)),
    "von mises": lambda: distributions.VonMises(HALF, ONE).sample((4,)),
    "poisson": lambda: distributions.Poisson(ONE).sample((4,)),
    "binomial": lambda: distributions.Binomial(5, HALF).sample((4,)),
    "categorical": lambda: distributions.Categorical(HALF).sample((4,)),
    "uniform": lambda: distributions.Uniform(HALF, ONE).sample((4,)),
    "exponential": lambda: distributions.Exponential(ONE).sample((4,)),
    "bernoulli": lambda: torch.bernoulli(HALF.repeat(9)),
    "integers": lambda: torch.randint(99, (5,)),
    "order": lambda: torch.randperm(9),
    "like": lambda: torch.randn_like(ONE),
    "dropout": lambda: nn.functional.dropout(ONE.repeat(9)),
    "layer": lambda: nn.Linear(3, 2).weight.detach(),
    "convolution": lambda: nn.Conv2d(2, 3, 2).bias.detach(),
    "lstm": lambda: nn.LSTM(2, 3).weight_hh_l0.detach(),
    "attention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight.detach(),
    "xavier": lambda: nn.init.xavier_normal_(torch.empty(3, 2)),
}


def seed_of(seed):
    return int(torch.randint(2**62, (), generator=generator(seed)))


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_the_global_generator_which_stays_as_it_is(name):
    before = torch.get_rng_state()
    with seeded(3):
        found = [DRAWS[name](), DRAWS[name]()]
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(3))
        assert all(torch.equal(value, DRAWS[name]()) for value in found)
    assert not torch.equal(*found) or name == "bernoulli"


def test_a_block_within_a_block_has_its_own_draws():
    with seeded(1):
        first = torch.rand(2)
        with seeded(2):
            inner = torch.rand(2)
        second = torch.rand(2)
    with seeded(2):
        assert torch.equal(inner, torch.rand(2))
    with seeded(1):
        assert torch.equal(torch.cat([first, second]), torch.rand(4))


def test_a_generator_that_is_given_is_used():
    source = torch.Generator().manual_seed(7)
    with seeded(1):
        found = torch.rand(3, generator=source)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(7)))


def test_other_threads_do_not_see_it():
    with seeded(1), ThreadPoolExecutor(1) as pool:
        before = torch.get_rng_state()
        pool.submit(torch.rand, 3).result()
        assert not torch.equal(torch.get_rng_state(), before)


def test_numbers_are_single_precision_whatever_the_default_is():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with seeded(0):
            values = {
                "rand": torch.rand(2),
                "zeros": torch.zeros(2),
                "full": torch.full((2,), 0.5),
                "tensor": torch.tensor([0.5]),
                "arange": torch.arange(0.0, 2.0),
                "layer": nn.Linear(2, 2).weight,
            }
            kept = {
                "double": torch.rand(2, dtype=torch.float64),
                "copy": torch.tensor(torch.ones(2).double().numpy()),
            }
            whole = torch.tensor([1]), torch.arange(3), torch.full((2,), 1)
    finally:
        torch.set_default_dtype(before)
    assert {name: value.dtype for name, value in values.items()} == dict.fromkeys(
        values, torch.float32
    )
    assert all(value.dtype == torch.float64 for value in kept.values())
    assert all(value.dtype == torch.int64 for value in whole)


def test_without_a_seed_draws_differ():
    with seeded(None):
        first = torch.rand(4)
    with seeded(None):
        assert not torch.equal(first, torch.rand(4))
