"""Networks of an analysis, as that which separates its signal: dense layers in a file of safetensors.

They are evaluated on reconstructed events only, for what is to be learned: their output is drawn like any
other variable afterwards, and the file is needed no more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load
from scipy.special import expit

from flashsim_prod.core.analyses.config import Activation, Analysis, Network
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import read_bytes
from flashsim_prod.physics.analysis.values import F64

#: larger ones are none of the small networks that end an analysis
_MOST_BYTES = 50_000_000
_SLOPE = 0.01


_FUNCTIONS: Mapping[Activation, Callable[[F64], F64]] = {
    Activation.NONE: lambda x: x,
    Activation.RELU: lambda x: np.maximum(x, 0.0),
    Activation.LEAKY_RELU: lambda x: np.where(x > 0, x, _SLOPE * x),
    Activation.ELU: lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    Activation.SILU: lambda x: x * expit(x),
    Activation.TANH: np.tanh,
    Activation.SIGMOID: expit,
}


@dataclass(frozen=True)
class Dense:
    """Layers, each a matrix of shape (n_out, n_in) and a bias, and what follows them."""

    layers: tuple[tuple[F64, F64], ...]
    hidden: Activation
    output: Activation

    def __call__(self, inputs: F64) -> F64:
        """One number for each row of `inputs`; NaN where one of these is not finite."""
        good = np.asarray(np.isfinite(inputs).all(axis=1))
        x = np.where(good[:, None], inputs, 0.0)
        for number, (weight, bias) in enumerate(self.layers, 1):
            after = self.output if number == len(self.layers) else self.hidden
            x = _FUNCTIONS[after](x @ weight.T + bias)
        return np.where(good, x[:, 0], np.nan)


def with_digests(analysis: Analysis, folder: Path, where: str) -> Analysis:
    """The same, with the sha256 of every network's file; `ConfigError` if one is another than it says."""
    if not analysis.networks:
        return analysis
    told = {}
    for name, one in analysis.networks.items():
        raw = _bytes(one, folder, f"{where}: networks.{name}")
        told[name] = one.model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})
    return analysis.model_copy(update={"networks": told})


def load_network(network: Network, folder: Path, where: str) -> Dense:
    """The network in a file.

    Raises
    ------
    ConfigError
        If it is not there, is another one, or holds anything but dense layers that fit each other.
    """
    path = folder / network.file
    raw = _bytes(network, folder, where)
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where}.file: {path} is no file of safetensors") from error
    layers = _layers(tensors, f"{where}.file: {path}")
    given = len(network.inputs)
    for number, (weight, bias) in enumerate(layers, 1):
        if weight.ndim != 2 or weight.shape[1] != given or bias.shape != weight.shape[:1]:
            raise ConfigError(
                f"{where}.file: {path}: layer {number} has a weight of {_shape(weight)} and a bias of "
                f"{_shape(bias)}, behind {given} {'inputs' if number == 1 else 'numbers of the layer before'}"
            )
        given = len(bias)
    if given != 1:
        raise ConfigError(f"{where}.file: {path}: {given} numbers come out, a variable is one")
    return Dense(tuple(layers), network.hidden, network.output)


def _bytes(network: Network, folder: Path, where: str) -> bytes:
    path = folder / network.file
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{where}.file: {path} is larger than {_MOST_BYTES // 1_000_000} MB")
        raw = read_bytes(path)
    except OSError as error:
        raise ConfigError(f"{where}.file: {path} cannot be read: {error.strerror or error}") from error
    if network.sha256 not in (None, hashlib.sha256(raw).hexdigest()):
        raise ConfigError(f"{where}.file: {path} is another network than that which was learned from")
    return raw


def _layers(tensors: Mapping[str, NDArray[np.generic]], where: str) -> list[tuple[F64, F64]]:
    """Weight and bias of each layer, in the order of the numbers in their names."""
    owners = sorted({name.rpartition(".")[0] for name in tensors}, key=_by_numbers)
    if not owners:
        raise ConfigError(f"{where} holds no tensors")
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] not in {"weight", "bias"}:
            raise ConfigError(f"{where}: '{name}' is no weight or bias of a dense layer")
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise ConfigError(f"{where}: '{name}' does not hold finite numbers")
    lacking = [
        f"{one}.{part}" for one in owners for part in ("weight", "bias") if f"{one}.{part}" not in tensors
    ]
    if lacking:
        raise ConfigError(f"{where}: a dense layer has a weight and a bias, '{lacking[0]}' is missing")
    return [(_wide(tensors[f"{one}.weight"]), _wide(tensors[f"{one}.bias"])) for one in owners]


def _wide(tensor: NDArray[np.generic]) -> F64:
    return tensor.astype(np.float64)


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _shape(tensor: F64) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
