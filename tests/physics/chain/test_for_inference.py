"""What inference evaluates is what was trained: every network of the shipped bundle, and other sizes."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain import kinds
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds import fused
from flashsim_prod.physics.chain.kinds.fused import FusedVelocity
from flashsim_prod.physics.chain.kinds.lookup import LookedUp
from flashsim_prod.physics.chain.kinds.networks import Multiplicity, Velocity
from flashsim_prod.physics.chain.kinds.transport import integrate
from flashsim_prod.physics.chain.model import NetworkSize

SOLVERS = [Sampling(solver=solver, evaluations=8) for solver in ("euler", "midpoint", "ab2")]
SIZES = [
    NetworkSize(),
    NetworkSize(width=8, blocks=1, time_frequencies=2, classifier=(4,), knots=3),
    NetworkSize(width=33, blocks=2, time_frequencies=5, classifier=(16, 8), knots=7),
    NetworkSize(width=256, blocks=6, classifier=(), knots=1),
]
CLOSE = 1e-5


@pytest.fixture(scope="module")
def models(bundle: Bundle) -> list[FittedModel]:
    return [
        FittedModel.load(model, bundle.manifest.models[model.name], bundle.tensors(model.name))
        for model in check_models(bundle)
    ]


def _random(*shape: int, seed: int = 1) -> torch.Tensor:
    # now and then as far as a standardised condition goes
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).clamp(-8, 8)


def _trained(velocity: Velocity) -> Velocity:
    """With weights where a fresh network has zeros."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in velocity.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise / max(1, parameter.shape[-1]) ** 0.5)
    return velocity.eval()


def _agree(one: torch.Tensor, other: torch.Tensor, room: float = 0.0) -> None:
    assert one.shape == other.shape
    assert float(((one - other).abs() / other.abs().clamp(min=1)).max()) < CLOSE + room


def _drawn(network: torch.nn.Module, seen: torch.Tensor, z: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    contribution = network.condition(seen)
    return integrate(lambda x, t: network(x, t.to(x.dtype), contribution), z, sampling)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("sampling", SOLVERS, ids=lambda sampling: sampling.solver)
@torch.inference_mode()
def test_flows_of_the_shipped_bundle(models: list[FittedModel], sampling: Sampling, compiled: bool) -> None:
    for fitted in models:
        velocity = fitted.networks["velocity"]
        quick = FusedVelocity(velocity, compiled=compiled)
        z = torch.randn(64, velocity.n_targets, generator=torch.Generator().manual_seed(3))
        seen = torch.randn(64, len(fitted.model.conditions), generator=torch.Generator().manual_seed(4))
        drawn, trained = (_drawn(network, seen, z, sampling) for network in (quick, velocity))
        exact = _drawn(deepcopy(velocity).double(), seen.double(), z.double(), sampling)
        # single precision alone moves a tail by as much
        _agree(drawn, trained, room=float((trained - exact).abs().max()))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.blocks}")
@torch.inference_mode()
def test_flows_of_other_sizes(size: NetworkSize, compiled: bool) -> None:
    velocity = _trained(Velocity(5, 7, size))
    quick = FusedVelocity(velocity, compiled=compiled)
    x, seen = _random(50, 5), _random(50, 7, seed=4)
    for t in (0.0, 0.3, 0.5, 0.99):
        at = torch.full((1, 1), t)
        _agree(quick(x, at, quick.condition(seen)), velocity(x, at, velocity.condition(seen)))


@torch.inference_mode()
def test_numbers_of_the_shipped_bundle(models: list[FittedModel]) -> None:
    for fitted in models:
        network = fitted.networks.get("multiplicity")
        if not hasattr(network, "knots"):
            continue
        assert isinstance(fitted.drawing["multiplicity"], LookedUp)
        seen = _random(500, len(fitted.model.conditions))
        # on the knots and next to them, too
        seen[: network.knots.shape[1]] = network.knots.T
        seen[30 : 30 + network.knots.shape[1]] = network.knots.T + 0.005
        _agree(fitted.drawing["multiplicity"](seen.clamp(-8, 8)), network(seen.clamp(-8, 8)))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.classifier}x{size.knots}")
@torch.inference_mode()
def test_numbers_of_other_sizes(size: NetworkSize) -> None:
    network = Multiplicity(3, 2, size)
    some = _random(4000, 3)
    # a discrete condition, and one that is nearly constant: knots that coincide
    some[:, 1] = some[:, 1].round()
    some[:, 2] = torch.where(some[:, 2] > 3, some[:, 2], 0.25)
    network.spread_knots(some)
    seen = torch.cat((some[:500], _random(500, 3, seed=5)))
    _agree(LookedUp(network)(seen), network(seen))


def test_a_row_is_drawn_alike_whatever_the_others_are(models: list[FittedModel]) -> None:
    fitted = next(one for one in models if one.model.name == "jet_from_genjet")
    rng = np.random.default_rng(6)
    seen = rng.normal(size=(700, len(fitted.model.conditions))).astype(np.float32)
    normals = rng.normal(size=(700, fitted.n_normals))
    order = rng.permutation(700)
    straight, mixed = (
        fitted.sample(seen[index], normals[index], Sampling()) for index in (np.arange(700), order)
    )
    for name, column in straight.items():
        assert np.array_equal(column[order], mixed[name])
        assert np.array_equal(
            column[123:125], fitted.sample(seen[123:125], normals[123:125], Sampling())[name]
        )
    chance = fitted.probabilities(seen)
    assert np.array_equal(chance[order], fitted.probabilities(seen[order]))


def test_threads_change_nothing(models: list[FittedModel]) -> None:
    fitted = next(one for one in models if one.model.name == "jet_from_genjet")
    rng = np.random.default_rng(7)
    seen = rng.normal(size=(300, len(fitted.model.conditions))).astype(np.float32)
    normals = rng.normal(size=(300, fitted.n_normals))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            drawn = fitted.sample(seen, normals, Sampling())
            found.append((fitted.probabilities(seen).tobytes(), *(one.tobytes() for one in drawn.values())))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_without_numba_torch_serves(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setitem(sys.modules, "flashsim_prod.physics.chain.kinds.kernels", None)
    monkeypatch.delattr(kinds, "kernels", raising=False)
    fused._compiled_passes.cache_clear()
    try:
        model = check_models(bundle)[0]
        fitted = FittedModel.load(model, bundle.manifest.models[model.name], bundle.tensors(model.name))
        assert fitted.drawing["velocity"]._passes is fused._TORCH
    finally:
        fused._compiled_passes.cache_clear()


def test_numba_serves_where_its_code_cannot_be_loaded_alone(
    bundle: Bundle, models: list[FittedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused.machine_code, "natives", lambda module: None)
    fused._compiled_passes.cache_clear()
    try:
        name = models[0].model.name
        fitted = FittedModel.load(models[0].model, bundle.manifest.models[name], bundle.tensors(name))
        assert fitted.drawing["velocity"]._passes.fit is torch.Tensor.numpy
    finally:
        fused._compiled_passes.cache_clear()
    seen = np.zeros((70, len(fitted.model.conditions)), np.float32)
    normals = np.random.default_rng(8).normal(size=(70, fitted.n_normals))
    for column, other in zip(
        fitted.sample(seen, normals, Sampling()).values(),
        models[0].sample(seen, normals, Sampling()).values(),
        strict=True,
    ):
        assert np.array_equal(column, other)


@pytest.mark.parametrize("wrong", [torch.zeros(4, 6).t(), torch.zeros(4, 6, dtype=torch.float64)])
def test_compiled_code_is_given_nothing_that_it_would_misread(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="takes no"):
        fused._Laid.of(wrong)


def test_who_only_draws_has_weights_once(bundle: Bundle, models: list[FittedModel]) -> None:
    name = models[0].model.name
    entry, tensors = bundle.manifest.models[name], bundle.tensors(name)
    fitted = FittedModel.load(models[0].model, entry, tensors, only_draws=True)
    seen = np.zeros((70, len(fitted.model.conditions)), np.float32)
    normals = np.random.default_rng(9).normal(size=(70, fitted.n_normals))
    for key, column in fitted.sample(seen, normals, Sampling()).items():
        assert np.array_equal(column, models[0].sample(seen, normals, Sampling())[key])
    assert fitted.networks is fitted.drawing
    velocity = Velocity(5, 7, NetworkSize())
    gone, quick = weakref.ref(velocity), FusedVelocity(velocity)
    del velocity
    gc.collect()
    assert gone() is None
    assert quick is not None


def test_nothing_is_written_where_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from flashsim_prod.physics.chain.kinds import kernels
    from flashsim_prod.physics.compiling import cached as compiling

    monkeypatch.setattr(compiling, "private_folder", lambda: None)
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "/proc/nowhere")

    def doubled(values: np.ndarray, out: np.ndarray) -> None:
        out[:] = 2 * values

    matrix: Callable[..., object] = kernels._MATRIX
    twice = compiling.compiled(matrix, matrix)(doubled)
    out = np.empty((2, 2), np.float32)
    twice(np.ones((2, 2), np.float32), out)
    assert np.all(out == 2)
