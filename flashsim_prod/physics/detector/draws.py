"""Random numbers and small response shapes that all parts of the reference detector share."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def stream(seed: int, part: str) -> np.random.Generator:
    """The random numbers of one part of the detector.

    Each part has its own stream, named after it, so that another collection changes no number of those
    that stand.
    """
    key = zlib.crc32(part.encode())
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(key,)))


def sigmoid(value: Floats) -> Floats:
    """Logistic function, safe for large arguments."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * value)))


def turn_on(value: Floats, half: Floats | float, width: Floats | float) -> Floats:
    """Efficiency curve that passes 1/2 at `half` and rises over `width`."""
    return sigmoid((value - half) / width)


def wrap_phi(phi: Floats) -> Floats:
    """Angle brought to [-pi, pi)."""
    return np.asarray((phi + np.pi) % (2 * np.pi) - np.pi)


def mixed(rng: np.random.Generator, latent: Floats, correlation: float) -> Floats:
    """Standard normal numbers with the given linear correlation to the standard normal `latent`."""
    return np.asarray(correlation * latent + np.sqrt(1 - correlation**2) * rng.normal(size=latent.shape))


def chance(rng: np.random.Generator, probability: Floats | float, size: int) -> Bools:
    """True with `probability`, drawn anew for each of `size` objects."""
    return np.asarray(rng.random(size) < probability)


def gamma_about(rng: np.random.Generator, mean: Floats, width: Floats) -> Floats:
    """Non-negative numbers of given mean and standard deviation; zero where the mean is not positive."""
    positive = mean > 0
    safe = np.where(positive, mean, 1.0)
    shape = np.maximum((safe / np.maximum(width, 1e-6)) ** 2, 1e-3)
    return np.where(positive, rng.gamma(shape) * safe / shape, 0.0)


def whole_particles(rng: np.random.Generator, energy: Floats, particle: float) -> Floats:
    """Summed pt of whole particles, `particle` each on average, whose mean sum is `energy` [GeV].

    Exactly zero where there is no particle.
    """
    number = rng.poisson(energy / particle)
    return np.where(number > 0, rng.gamma(np.maximum(number, 1) * 1.5) * (particle / 1.5), 0.0)
