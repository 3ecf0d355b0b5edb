"""A device that a machine without a GPU has: its tensors are told from the CPU's, and may not meet them.

Run as a program, it draws with every model of a bundle, and with every kind of model, on this device, and
prints what came of it as JSON. The device stands where torch keeps a place for one of somebody's own
(PrivateUse1): its tensors are wrappers around the CPU's, and all that is done to them is done by `Strict`.
What would wait for a real device, since the CPU looks at one of its numbers, is an error, and so is whatever
mixes both.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.devices import place as places
from flashsim_prod.physics.chain.devices.here import Here
from flashsim_prod.physics.chain.devices.place import Place
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import KINDS
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

NAME = "standin"
SAMPLING = Sampling(evaluations=2)
#: reads a number, and so waits for a device to come to it
_WAITS = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "allclose")
#: from one device to another, as they should be
_SENDS = ("to", "_to_copy", "copy_")


class OnDevice(torch.Tensor):
    """A tensor of the device; `raw` is what it stands for."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> OnDevice:
        made: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), dtype=raw.dtype, device=f"{NAME}:0"
        )
        return made

    def __init__(self, raw: torch.Tensor) -> None:
        self.raw = raw

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func}: nobody looks")


class Strict(TorchDispatchMode):
    """Does for the device what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "_has_compatible_shallow_copy_type":
            return False
        leaves = tree_leaves((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, torch.Tensor)]
        there = [isinstance(one, OnDevice) for one in tensors]
        wanted = [one for one in leaves if isinstance(one, torch.device)]
        if any(there):
            self._check(name, tensors, there)
        made = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
        if name == "copy_":
            self.seen["sent" if there[0] else "fetched"] += there[0] != there[1]
            return args[0]
        goes_there = wanted[0].type == NAME if wanted else any(there)
        if name in _SENDS and goes_there and not any(there):
            self.seen["sent"] += 1
        if not goes_there:
            return made
        # a view is of the sort of what it looks at
        is_inference = tensors[0].is_inference() if func.is_view else torch.is_inference_mode_enabled()
        with torch.inference_mode(is_inference):
            return tree_map(lambda one: OnDevice(one) if isinstance(one, torch.Tensor) else one, made)

    def _check(self, name: str, tensors: list[torch.Tensor], there: list[bool]) -> None:
        if name in _WAITS:
            raise AssertionError(f"{name} waits for the device")
        # a number of the CPU's goes with a launch; rows do not
        alone = [one for one, is_there in zip(tensors, there, strict=True) if not is_there and one.dim()]
        if alone and name not in _SENDS:
            raise AssertionError(f"{name} mixes devices")
        self.seen["done"] += 1


def _raw(one: Any) -> Any:
    if isinstance(one, torch.device):
        return torch.device("cpu")
    return one.raw if isinstance(one, OnDevice) else one


def differences(fitted: FittedModel) -> dict[str, float]:
    """How far what is drawn on the device is from what is drawn by the same networks on the CPU."""
    rng = np.random.default_rng(2)
    conditions = rng.normal(size=(200, len(fitted.model.conditions))).astype(np.float32)
    works = [fitted.attributes(conditions, rng.normal(size=(200, fitted.n_normals)))]
    if fitted.model.most:
        works.append(fitted.numbers(conditions))
    here = replace(fitted, drawing={}, place=Place(batch_rows=64))
    expected = Here([here], SAMPLING).evaluate(works)
    there = replace(fitted, drawing={}, place=Place(NAME))
    found = Here([there], SAMPLING).evaluate(works)
    return {
        work.task.value: float(np.abs(one - other).max())
        for work, one, other in zip(works, expected, found, strict=True)
    }


def of_kind(kind: str, like: FittedModel) -> FittedModel:
    """An untrained model of another kind, with the conditions and targets of `like`."""
    torch.manual_seed(1)
    sample = np.random.default_rng(1).normal(size=500)
    width = len(like.model.conditions)
    made = FittedModel.untrained(
        like.model,
        Standardiser(np.zeros(width), np.ones(width)),
        tuple(Gaussianiser.fit(sample) for _ in like.model.targets),
        kind=kind,
    )
    for network in made.networks.values():
        network.eval()
    return made


def main(bundle_name: str) -> None:
    """Print differences by model and by kind, and what was done on the device."""
    _setup_privateuseone_for_python_backend(NAME)
    places.SIZES[NAME] = (32, 128)
    bundle = load_bundle(find_bundle(bundle_name))
    fitted = {
        model.name: FittedModel.load(model, bundle.manifest.models[model.name], bundle.tensors(model.name))
        for model in check_models(bundle)
    }
    with Strict() as strict:
        by_model = {name: differences(one) for name, one in fitted.items()}
        by_kind = {}
        for kind in KINDS:
            try:
                by_kind[kind] = differences(of_kind(kind, fitted["jet_from_genjet"]))
            except AssertionError as error:
                by_kind[kind] = {"error": str(error)}
        try:
            torch.ones(3, device=NAME) + torch.ones(3)
            caught = ""
        except AssertionError as error:
            caught = str(error)
    print(json.dumps({"models": by_model, "kinds": by_kind, "mixed": caught, "seen": strict.seen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
