"""Checkpoints of the published method as atlases."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds._check import as_path
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.convolution import ConvolutionStack
from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.flow import FlowCharts
from learnedmanifolds.charts.image import ImageCharts
from learnedmanifolds.files.usable import require_usable

_KEY = re.compile(
    r"Generator_(?P<chart>\d+)\.(?P<network>\w+)\.module_list\.(?P<block>\d+)\."
    r"(?:subnet(?P<subnet>[12])\.(?P<layer>\d+)\.(?P<kind>weight|bias)"
    r"|invertible_upsampling\.(?P<up>weight))"
)

# (network, block, subnet, layer, "weight" or "bias") -> the tensors of all charts; an up-sampling has
# subnet and layer 0.
_Place = tuple[str, int, int, int, str]


def import_published(path: str | Path) -> Atlas:
    """Read a checkpoint of the published implementation, of vector or image models of any size.

    Nothing in the file is executed. Sizes and the number of charts are read off the weights; images
    are square. The networks have ReLU activations: first-order methods work everywhere,
    second-order ones inside a linear piece.

    Parameters
    ----------
    path : str or Path
        A file that holds ``model_state_dict`` (or is one).

    Returns
    -------
    Atlas
        Float32, on the CPU; points are (n,) or (1, H, W).

    Raises
    ------
    TypeError
        If the path is none.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, holds anything but tensors, or is not such a checkpoint.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 5.
    """
    state = _read(as_path(path))
    try:
        atlas = _build(state)
        require_usable(atlas)
        return atlas
    except (LookupError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{path} must hold the weights of published charts, of one size: {error}."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"path must be a checkpoint, there is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle raises errors of every kind.
        raise ValueError(
            f"{path} must be a whole PyTorch checkpoint of tensors, got: {error}"
        ) from error
    state = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(v, Tensor) for key, v in state.items()
    ):
        raise ValueError(f"{path} must hold a dict of tensors named model_state_dict.")
    if "log_decoder_weights" not in state or not any(_KEY.fullmatch(key) for key in state):
        raise ValueError(
            f"{path} must hold log_decoder_weights and networks named Generator_<k>.<network>."
            f"module_list, got {', '.join(list(state)[:4])}."
        )
    for key, value in state.items():
        if value.is_complex() or not bool(value.isfinite().all()):
            raise ValueError(f"{path} must hold finite real numbers, got others in {key}.")
    return {key: value.float() for key, value in state.items()}


def _build(state: dict[str, Tensor]) -> Atlas:
    log_weights = state["log_decoder_weights"].flatten()
    places = _stack(state, len(log_weights))
    widths: dict[str, int] = {}
    for network, block, subnet, layer, kind in places:
        if (block, subnet, layer, kind) == (0, 1, 0, "weight"):
            first, second = (places[network, 0, s, 0, "weight"].shape[2] for s in (1, 2))
            widths[network] = first + second
    dense = [n for n in widths if places[n, 0, 1, 0, "weight"].dim() == 3]
    # The latent flow acts on R^d, much narrower than the other dense network.
    dense.sort(key=lambda name: widths[name])
    convolutions = sorted(
        (n for n in widths if n not in dense), key=lambda name: int(re.sub(r"\D", "", name) or 0)
    )
    if not 1 <= len(dense) <= 2:
        raise KeyError(f"one or two dense networks a chart, got {dense}")
    latent = dense[0] if len(dense) == 2 else None
    dim, main = (widths[latent], dense[1]) if latent else (1, dense[0])
    common: dict[str, Any] = {
        "n_charts": len(log_weights),
        "dim": dim,
        "hidden": places[main, 0, 1, 0, "weight"].shape[1],
        "n_blocks": _count(places, main),
        "n_latent_blocks": _count(places, latent) if latent else 0,
        "published": True,
    }
    charts: FlowCharts | ImageCharts
    if convolutions:
        channels = places[convolutions[-1], _count(places, convolutions[-1]), 0, 0, "weight"].shape[
            1
        ]
        side = math.isqrt(widths[main] // channels) << len(convolutions)
        conv_hidden = places[convolutions[0], 0, 1, 0, "weight"].shape[1]
        charts = ImageCharts(
            ambient_shape=(channels, side, side),
            levels=len(convolutions),
            conv_hidden=conv_hidden,
            n_conv_blocks=_count(places, convolutions[0]),
            **common,
        )
        _fill(charts.dense, places, main, transpose=True)
        for (stack, up), name in zip(charts.stages, convolutions, strict=True):
            _fill(stack, places, name, transpose=False)
            up.weight.data.copy_(places[name, _count(places, name), 0, 0, "weight"])
    else:
        charts = FlowCharts(n_ambient=widths[main], **common)
        _fill(charts.network, places, main, transpose=True)
    if latent and charts.latent is not None:
        _fill(charts.latent, places, latent, transpose=True)
    noise = [float(v) for key, v in state.items() if key.endswith(".sig_hd")]
    return Atlas(charts.requires_grad_(False), log_weights.softmax(0), noise[0] if noise else 0.1)


def _stack(state: dict[str, Tensor], n_charts: int) -> dict[_Place, Tensor]:
    """Weights of the networks by their place, those of the charts stacked."""
    parts: dict[_Place, dict[int, Tensor]] = {}
    for key, value in state.items():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        part = match.groupdict()
        place = (
            part["network"],
            int(part["block"]),
            int(part["subnet"] or 0),
            int(part["layer"] or 0) // 2,
            part["kind"] or part["up"],
        )
        parts.setdefault(place, {})[int(part["chart"])] = value
    for place, charts in parts.items():
        if sorted(charts) != list(range(n_charts)):
            raise KeyError(f"{n_charts} charts, one a weight, got {sorted(charts)} for {place}")
    return {place: torch.stack([c[k] for k in sorted(c)]) for place, c in parts.items()}


def _count(places: dict[_Place, Tensor], network: str) -> int:
    return len({block for name, block, subnet, *_ in places if name == network and subnet})


def _fill(
    stack: CouplingStack | ConvolutionStack,
    places: dict[_Place, Tensor],
    network: str,
    transpose: bool,
) -> None:
    """Copy a network: in a block the subnet that moves the first half comes first."""
    blocks = range(_count(places, network))
    depth = 1 + max(layer for name, _, _, layer, _ in places if name == network)
    order = [(b, s, layer) for b in blocks for s in (2, 1) for layer in range(depth)]
    if len(order) != len(stack.weights):
        raise KeyError(f"{len(stack.weights)} layers in {network}, got {len(order)}")
    for index, (block, subnet, layer) in enumerate(order):
        weight = places[network, block, subnet, layer, "weight"]
        bias = places[network, block, subnet, layer, "bias"]
        stack.weights[index].data.copy_(weight.mT if transpose else weight)
        stack.biases[index].data.copy_(bias.unsqueeze(1) if transpose else bias)
