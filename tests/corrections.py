"""What holds of every correction of draws, whatever it does to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import ModelEntry
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import KINDS, find_kind
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.training.correcting.folder import Unseen
from flashsim_prod.physics.training.fit import untrained
from flashsim_prod.physics.training.table import Table

#: kinds whose draws can be corrected
SINGLE = [one for one in KINDS if not isinstance(find_kind(one), KindOfSets)]
SAMPLING = Sampling(evaluations=2)


def toy_table(n: int, spike: float | None = None) -> Table:
    """Objects of `n` sources: x goes with the first condition, or is the `spike`, if there is one."""
    rng = np.random.default_rng(2)
    conditions = rng.normal(size=(n, 2)).astype(np.float32)
    number = rng.integers(0, 3, n)
    row = np.repeat(np.arange(n), number)
    x = conditions[row, 0] + rng.normal(size=len(row))
    if spike is not None:
        x[rng.random(len(row)) < 0.2] = spike
    return Table(conditions, number, row, {"x": x, "flag": (x > 0).astype(np.int32)})


def unseen_toy(model: ObjectModel, table: Table, kind: str) -> Unseen:
    """A model that draws independent attributes, whatever the conditions."""
    fitted = untrained(model, table, 1, kind=kind)
    entry = ModelEntry(
        file="toy.safetensors",
        sha256="0" * 64,
        kind=kind,
        **model.signature(),
        network=fitted.kind.section(fitted.size),
        parameters=fitted.n_parameters,
    )
    return Unseen(model, entry, fitted.tensors(), table)


def asked(fitted: FittedModel, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Conditions of so many rows, and the numbers that draws of them take."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(rows, 2)).astype(np.float32), rng.normal(size=(rows, fitted.n_normals))


def is_the_same_in_any_pieces(load: Callable[[], FittedModel]) -> None:
    """Draws do not depend on which rows come together, nor on who loaded the model."""
    fitted, again = load(), load()
    conditions, normals = asked(fitted)
    whole = fitted.latents(conditions, normals, SAMPLING)
    for cuts in ((1, 300), (256, 512)):
        pieces = zip(np.split(conditions, cuts), np.split(normals, cuts), strict=True)
        assert np.array_equal(np.concatenate([again.latents(c, z, SAMPLING) for c, z in pieces]), whole)
    assert again.latents(conditions[:0], normals[:0], SAMPLING).shape == (0, 2)


def is_refused_with_another_model(found: Unseen, bare: Unseen, what: str, missing: str) -> str:
    """A correction goes with the very weights that it knows, whole; what is told of others."""
    tensors = dict(found.tensors)
    name = next(one for one in tensors if one.endswith("weight") and not one.startswith(f"{what}."))
    tensors[name] = tensors[name] + np.float16(0.25)
    with pytest.raises(BundleError) as told:
        FittedModel.load(found.model, found.entry, tensors)
    assert f"model toy of the bundle: its {what} is of another model" in str(told.value)
    assert "\n" not in str(told.value)
    # nor one whose tensors are of another size, or are there without a word
    with pytest.raises(BundleError, match=rf"the tensor {what}\.{missing} is missing"):
        FittedModel.load(found.model, found.entry, bare.tensors)
    with pytest.raises(BundleError, match=rf"there is a tensor {what}\..* not of this model"):
        FittedModel.load(found.model, bare.entry, found.tensors)
    return str(told.value)


def knows_its_own_draws_alone(fitted: FittedModel, what: str) -> None:
    """Of a kind that integrates, draws in other steps are refused; to others steps mean nothing."""
    conditions, normals = asked(fitted, 3)
    if fitted.kind.integrates:
        known = f"its {what} knows draws of --solver midpoint --evaluations 2"
        with pytest.raises(BundleError, match=known):
            fitted.latents(conditions, normals, Sampling(evaluations=4))
    else:
        drawn = fitted.latents(conditions, normals, Sampling(evaluations=4))
        assert np.array_equal(drawn, fitted.latents(conditions, normals, SAMPLING))
