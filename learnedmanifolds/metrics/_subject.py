"""What a report asks of a model, whatever its kind: samples, latent points, reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from learnedmanifolds._check import as_tensor
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.immersion import Immersion
from learnedmanifolds.geometry import Located
from learnedmanifolds.metrics.known_manifold import HasProject


@runtime_checkable
class Sampler(Protocol):
    """The least that a report needs: a source of points."""

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Points (n, *ambient_shape)."""
        ...


@runtime_checkable
class _HasTransform(Protocol):
    def transform(self, x: Any) -> Any: ...


@runtime_checkable
class _HasEncode(Protocol):
    def encode(self, x: Any) -> Any: ...


@runtime_checkable
class _HasInverseTransform(Protocol):
    def inverse_transform(self, z: Any) -> Any: ...


@runtime_checkable
class _HasDecode(Protocol):
    def decode(self, z: Any) -> Any: ...


@dataclass(frozen=True)
class Subject:
    """A model as functions; those that it does not have are None.

    Attributes
    ----------
    name : str
    model : Sampler
    encode : callable, optional
        Latent points, a `Located` or an array, of points.
    decode : callable, optional
        Points of what `encode` gives.
    project : callable, optional
        Reconstructions of points.
    """

    name: str
    model: Sampler
    encode: Callable[[Tensor], Any] | None
    decode: Callable[[Any], Any] | None
    project: Callable[[Tensor], Any] | None

    def sample(self, n: int, seed: int, shape: tuple[int, ...]) -> Tensor:
        """Checked points (n, *shape)."""
        made = self.model.sample(n, seed=seed)
        return as_tensor(made, "model.sample(n)", shape=(n, *shape)).detach()

    def latent(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Latent points of points, their images, and their charts where there are several."""
        if self.encode is None:
            return None
        z = self.encode(x)
        image = x if self.decode is None else as_tensor(self.decode(z), "model.decode(z)").detach()
        if isinstance(z, Located):
            return z.coords.detach(), image, z.chart
        return as_tensor(z, "model.encode(x)").detach(), image, None

    def reconstruct(self, x: Tensor) -> Tensor | None:
        """Reconstructions of points, of their shape."""
        if self.project is not None:
            return as_tensor(self.project(x), "model.project(x)", shape=tuple(x.shape)).detach()
        if self.encode is None or self.decode is None:
            return None
        again = self.decode(self.encode(x))
        return as_tensor(again, "model.decode(model.encode(x))", shape=tuple(x.shape)).detach()


def subject(model: object) -> Subject:
    """See what a model can do.

    Raises
    ------
    TypeError
        If it has no method `sample`.
    """
    if not isinstance(model, Sampler):
        raise TypeError(
            f"model must have a method sample(n, seed=), got {type(model).__name__} without one"
        )
    name = type(model).__name__
    if isinstance(model, Immersion):
        return Subject(name, model, model.latent_of, model.immerse, model.project)
    if isinstance(model, Atlas):

        def decode(located: Located) -> Tensor:
            return model.decode(located.coords, located.chart)

        return Subject(name, model, model.locate, decode, model.project)
    encode = model.transform if isinstance(model, _HasTransform) else None
    if encode is None and isinstance(model, _HasEncode):
        encode = model.encode
    back = model.inverse_transform if isinstance(model, _HasInverseTransform) else None
    if back is None and isinstance(model, _HasDecode):
        back = model.decode
    project = model.project if isinstance(model, HasProject) else None
    return Subject(name, model, encode, back, project)
