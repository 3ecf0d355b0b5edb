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
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds import native
from flashsim_prod.physics.chain.kinds.fused import FusedVelocity
from flashsim_prod.physics.chain.kinds.lookup import LookedUp
from flashsim_prod.physics.chain.kinds.native import Code, NativeMultiplicity, NativeVelocity
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
def code() -> Code:
    found = native.code()
    assert found is not None
    return found


@pytest.fixture(scope="module", params=["compiled", "torch"])
def quick_velocity(request: pytest.FixtureRequest, code: Code) -> Callable[[Velocity], torch.nn.Module]:
    """Makes what is evaluated instead of a velocity."""
    return FusedVelocity if request.param == "torch" else lambda velocity: NativeVelocity(velocity, code)


@pytest.fixture(scope="module", params=["compiled", "torch"])
def quick_numbers(request: pytest.FixtureRequest, code: Code) -> Callable[[Multiplicity], torch.nn.Module]:
    """Makes what is evaluated instead of a classifier."""
    return LookedUp if request.param == "torch" else lambda network: NativeMultiplicity(network, code)


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


@pytest.mark.parametrize("sampling", SOLVERS, ids=lambda sampling: sampling.solver)
@torch.inference_mode()
def test_flows_of_the_shipped_bundle(
    models: list[FittedModel], sampling: Sampling, quick_velocity: Callable[[Velocity], torch.nn.Module]
) -> None:
    for fitted in models:
        velocity = fitted.networks["velocity"]
        quick = quick_velocity(velocity)
        z = torch.randn(64, velocity.n_targets, generator=torch.Generator().manual_seed(3))
        seen = torch.randn(64, len(fitted.model.conditions), generator=torch.Generator().manual_seed(4))
        drawn, trained = (_drawn(network, seen, z, sampling) for network in (quick, velocity))
        exact = _drawn(deepcopy(velocity).double(), seen.double(), z.double(), sampling)
        # single precision alone moves a tail by as much
        _agree(drawn, trained, room=float((trained - exact).abs().max()))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.blocks}")
@torch.inference_mode()
def test_flows_of_other_sizes(
    size: NetworkSize, quick_velocity: Callable[[Velocity], torch.nn.Module]
) -> None:
    velocity = _trained(Velocity(5, 7, size))
    quick = quick_velocity(velocity)
    x, seen = _random(50, 5), _random(50, 7, seed=4)
    for t in (0.0, 0.3, 0.5, 0.99):
        at = torch.full((1, 1), t)
        _agree(quick(x, at, quick.condition(seen)), velocity(x, at, velocity.condition(seen)))


@torch.inference_mode()
def test_numbers_of_the_shipped_bundle(
    models: list[FittedModel], quick_numbers: Callable[[Multiplicity], torch.nn.Module]
) -> None:
    for fitted in models:
        network = fitted.networks.get("multiplicity")
        if not hasattr(network, "knots"):
            continue
        assert isinstance(fitted.drawing["multiplicity"], NativeMultiplicity)
        quick = quick_numbers(network)
        seen = _random(500, len(fitted.model.conditions))
        # on the knots and next to them, too
        seen[: network.knots.shape[1]] = network.knots.T
        seen[30 : 30 + network.knots.shape[1]] = network.knots.T + 0.005
        _agree(quick(seen.clamp(-8, 8)), network(seen.clamp(-8, 8)))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.classifier}x{size.knots}")
@torch.inference_mode()
def test_numbers_of_other_sizes(
    size: NetworkSize, quick_numbers: Callable[[Multiplicity], torch.nn.Module]
) -> None:
    network = Multiplicity(3, 2, size)
    some = _random(4000, 3)
    # a discrete condition, and one that is nearly constant: knots that coincide
    some[:, 1] = some[:, 1].round()
    some[:, 2] = torch.where(some[:, 2] > 3, some[:, 2], 0.25)
    network.spread_knots(some)
    seen = torch.cat((some[:500], _random(500, 3, seed=5)))
    _agree(quick_numbers(network)(seen), network(seen))


@torch.inference_mode()
def test_compiled_code_takes_no_other_shapes(code: Code) -> None:
    quick = NativeVelocity(_trained(Velocity(5, 7, NetworkSize())), code)
    contribution, at = quick.condition(_random(50, 7)), torch.full((1, 1), 0.3)
    for shape in ((200, 5), (50, 6)):
        with pytest.raises(ValueError, match="takes no"):
            quick(_random(*shape), at, contribution)
    with pytest.raises(ValueError, match="takes no"):
        quick.condition(_random(50, 6))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.blocks}")
@torch.inference_mode()
def test_compiled_code_gives_a_row_the_same_bits_wherever_it_stands(size: NetworkSize, code: Code) -> None:
    velocity, numbers = _trained(Velocity(5, 7, size)), Multiplicity(7, 3, size)
    numbers.spread_knots(_random(4000, 7))
    quick, quick_numbers = NativeVelocity(velocity, code), NativeMultiplicity(numbers, code)
    x, seen, at = _random(60, 5), _random(60, 7, seed=4), torch.full((1, 1), 0.3)

    def found(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        here = seen[start:stop]
        return quick(x[start:stop], at, quick.condition(here)), quick_numbers(here)

    whole = found(0, 60)
    # what a row that does not count was computed from is somewhere else each time
    for start, stop in ((0, 1), (0, 24), (1, 60), (13, 14), (23, 26), (59, 60)):
        for one, other in zip(whole, found(start, stop), strict=True):
            assert torch.equal(one[start:stop], other)


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


def test_without_numba_torch_serves(
    bundle: Bundle, models: list[FittedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    native.code.cache_clear()
    try:
        name = models[0].model.name
        fitted = FittedModel.load(models[0].model, bundle.manifest.models[name], bundle.tensors(name))
    finally:
        native.code.cache_clear()
    assert isinstance(fitted.drawing["velocity"], FusedVelocity)
    assert isinstance(fitted.drawing["multiplicity"], LookedUp)
    seen = np.zeros((70, len(fitted.model.conditions)), np.float32)
    normals = np.random.default_rng(8).normal(size=(70, fitted.n_normals))
    assert np.allclose(
        fitted.latents(seen, normals, Sampling()), models[0].latents(seen, normals, Sampling()), atol=1e-4
    )
    assert np.allclose(fitted.probabilities(seen), models[0].probabilities(seen), atol=1e-5)


@pytest.mark.parametrize("wrong", [torch.zeros(4, 6).t(), torch.zeros(4, 6, dtype=torch.float64)])
def test_compiled_code_is_given_nothing_that_it_would_misread(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="takes no"):
        native._address(wrong)


def test_who_only_draws_has_weights_once(
    bundle: Bundle, models: list[FittedModel], quick_velocity: Callable[[Velocity], torch.nn.Module]
) -> None:
    name = models[0].model.name
    entry, tensors = bundle.manifest.models[name], bundle.tensors(name)
    fitted = FittedModel.load(models[0].model, entry, tensors, only_draws=True)
    seen = np.zeros((70, len(fitted.model.conditions)), np.float32)
    normals = np.random.default_rng(9).normal(size=(70, fitted.n_normals))
    for key, column in fitted.sample(seen, normals, Sampling()).items():
        assert np.array_equal(column, models[0].sample(seen, normals, Sampling())[key])
    assert fitted.networks is fitted.drawing
    velocity = Velocity(5, 7, NetworkSize())
    gone, quick = weakref.ref(velocity), quick_velocity(velocity)
    del velocity
    gc.collect()
    assert gone() is None
    assert quick is not None


def test_nothing_is_written_where_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import float32

    from flashsim_prod.physics.compiling import cached as compiling

    monkeypatch.setattr(compiling, "private_folder", lambda: None)
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "/proc/nowhere")

    def doubled(values: np.ndarray, out: np.ndarray) -> None:
        out[:] = 2 * values

    matrix = float32[:, ::1]
    twice = compiling.compiled(matrix, matrix)(doubled)
    out = np.empty((2, 2), np.float32)
    twice(np.ones((2, 2), np.float32), out)
    assert np.all(out == 2)
