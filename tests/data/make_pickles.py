"""Write pickles of the public classes, each alone: ``python tests/data/make_pickles.py FILE``.

``pickles_61db161.pkl`` was written at commit 61db161, before modules moved to other rooms.
"""

import pickle
import sys

import torch

import learnedmanifolds as lm
from learnedmanifolds import charts, diffusion, inverse, latent

OPTIMIZERS = (inverse.LevenbergMarquardt, inverse.LBFGS, inverse.FixedStep)
CRITERIA = {
    "CostBelow": (1e-3,),
    "CostDecrease": (1e-3,),
    "GradientNorm": (1e-3,),
    "MaxEvaluations": (10,),
    "MaxIterations": (10,),
    "MaxTime": (1.0,),
    "StepNorm": (1e-3,),
}


def objects():
    sphere = lm.Atlas(charts.SphereCharts())
    yield "Atlas of SphereCharts", sphere
    flow = lm.Atlas(charts.FlowCharts(2, 1, 2, hidden=4, n_blocks=1))
    yield "Atlas of FlowCharts", flow
    yield "ImageCharts", charts.ImageCharts(1, 1, (1, 8, 8), hidden=4, conv_hidden=2, n_blocks=1)
    yield "Quality", sphere.quality(sphere.sample(20, seed=0))
    yield "Located", sphere.locate(sphere.sample(3, seed=0))
    for cls in OPTIMIZERS:
        yield cls.__name__, cls()
    for name, arguments in CRITERIA.items():
        yield name, getattr(inverse, name)(*arguments)
    yield "criteria", inverse.MaxIterations(3) | inverse.CostBelow(1.0)
    yield "Status", inverse.Status.CONVERGED
    yield "StrongWolfe", inverse.StrongWolfe()
    operators = lm.operators
    yield "Identity", operators.Identity()
    yield "Radon", operators.Radon(torch.linspace(0, 3, 4))
    yield "GaussianBlur", operators.GaussianBlur(1.0)
    yield "Downsample", operators.Downsample(2)
    yield "Mask", operators.mask(torch.tensor([True, False, True]))
    problem = lm.InverseProblem(operators.Identity(), [0.0, 0.0, 2.0], noise_std=0.1)
    yield "InverseProblem", problem
    yield "PoissonNoise", inverse.PoissonNoise(10.0)
    yield "Solution", lm.solve(problem, sphere, n_starts=2, seed=0)
    yield "Comparison", lm.compare(problem, sphere, n_starts=2, seed=0)
    yield "BatchSolution", lm.solve_batch([problem, problem], sphere, seed=0)
    for space in (
        latent.Sphere(2),
        latent.Circle(),
        latent.Torus(2),
        latent.Euclidean(2),
        latent.Rotations(),
        latent.Product(latent.Sphere(2), latent.Circle()),
    ):
        yield repr(space), space
    yield "AtlasPoint", lm.PymanoptManifold(sphere).random_point()
    report = lm.check_gradient(problem.to_pymanopt(lm.PymanoptManifold(sphere)), seed=0)
    yield "Check", report
    circle = lm.datasets.Circle().sample(60, noise=0.01, seed=0)
    small = {"max_epochs": 1, "random_state": 0, "hidden": (4,)}
    yield "ManifoldVAE", lm.ManifoldVAE(latent.Circle(), **small).fit(circle)
    yield "DiffusionMap", diffusion.DiffusionMap(2).fit(circle)
    yield (
        "SpectralNet",
        diffusion.SpectralNet(2, hidden=(4,), max_steps=2, random_state=0).fit(circle),
    )
    yield "DiffusionVAE", lm.DiffusionVAE(2, max_steps=2, random_state=0, hidden=(4,)).fit(circle)


if __name__ == "__main__":
    pickles = {}
    for name, value in objects():
        try:
            pickles[name] = pickle.dumps(value)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            print(f"{name} cannot be pickled: {error}")
        else:
            print(f"{name}: {len(pickles[name])} bytes")
    with open(sys.argv[1], "wb") as file:
        pickle.dump(pickles, file)
