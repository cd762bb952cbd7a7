"""Modules under the paths that they had before, so that old pickles and imports go on working."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]

_OPTIMIZERS = (
    "borders fixed_step iteration lbfgs least_squares levenberg_marquardt residual secant status "
    "stopping tangent wolfe"
).split()

# Old names to new ones; what is below an old name is below its new one.
_NEW = {
    "immersion": "atlas.immersion",
    "inverse.operators": "operators",
    "io": "files",
    "models.fourier": "training.fourier",
    "models.networks": "training.networks",
    "models.recorded_training": "training.recorded_training",
    "models.seeds": "training.seeds",
    "models.trainer": "training.trainer",
    "nearest": "atlas.nearest",
    "published": "files.published",
    "quality": "atlas.quality",
    "transition": "atlas.transition",
    "validated": "checks.validated",
} | {f"inverse.{name}": f"optimizers.{name}" for name in _OPTIMIZERS}


class _Moved(MetaPathFinder, Loader):
    """Finds a module under its old name and loads the one of the new name, the same object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where the name is an old one."""
        return ModuleSpec(fullname, self) if new_name(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the moved module in the place of the empty one."""
        old, name = module.__name__, new_name(module.__name__)
        if name is None:
            return
        sys.modules[old] = importlib.import_module(name)
        # What is below a package is at hand as well: were it imported by its old name, it would take
        # the place of a function of that name in the package.
        for below in [loaded for loaded in sys.modules if loaded.startswith(f"{name}.")]:
            sys.modules.setdefault(old + below[len(name) :], sys.modules[below])


def new_name(name: str) -> str | None:
    """The name under which a module of an old name is now, None where it has not moved."""
    package, _, below = name.partition(".")
    for old, new in _NEW.items():
        if package == _PACKAGE and (below == old or below.startswith(f"{old}.")):
            return f"{_PACKAGE}.{new}{below[len(old) :]}"
    return None


def install() -> None:
    """Let old names be found, first: a moved package would load its modules a second time."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
