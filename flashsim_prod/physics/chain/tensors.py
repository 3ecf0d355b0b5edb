"""The tensors that an object model is stored as: names, shapes, and whether what a file holds can be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import Tensors
from flashsim_prod.physics.chain.corrections import refiner, reweighter
from flashsim_prod.physics.chain.corrections.section import RefinerSection, Section
from flashsim_prod.physics.chain.kinds.base import Kind
from flashsim_prod.physics.chain.kinds.registry import FLOW, find_kind
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import find_model

#: what stands for a number of knots in a shape
KNOTS = -1


def expected_shapes(model: ObjectModel, kind: Kind[Any], size: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of `model` by name; `KNOTS` is a length that each target chooses."""
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_SCALINGS, (len(model.conditions),))
    for target in model.targets:
        shapes |= dict.fromkeys(_knots_of(target.name), (KNOTS,))
    return shapes | kind.expected_shapes(model, size)


def contract(name: str, kind_name: str = FLOW) -> dict[str, Any]:
    """What a bundle has to hold for one object model, in sizes that this software chooses itself.

    Raises
    ------
    RequestError
        If there is no such model.
    """
    model, kind = find_model(name), find_kind(kind_name)
    size = kind.declared_size(model, width=None, blocks=None)
    shapes = expected_shapes(model, kind, size)
    return {
        "model": name,
        "kind": kind.name,
        **model.signature(),
        "network": kind.section(size),
        "tensors": {
            key: ["knots" if length == KNOTS else length for length in shape] for key, shape in shapes.items()
        },
    }


_SCALINGS = ("conditions.mean", "conditions.width")


def _knots_of(target: str) -> tuple[str, str]:
    return f"{target}.cdf", f"{target}.value"


def check_tensors(
    model: ObjectModel,
    kind: Kind[Any],
    size: Any,
    tensors: Tensors,
    corrections: Sequence[Section] = (),
) -> None:
    """Check that networks and transforms can be made of `tensors`, and the corrections of these sections.

    Raises
    ------
    BundleError
        Naming the model, the tensor, and what is wrong with it.
    """
    try:
        shapes = expected_shapes(model, kind, size)
        for section in corrections:
            shapes |= (
                refiner.expected_shapes(model, section)
                if isinstance(section, RefinerSection)
                else reweighter.expected_shapes(model, section)
            )
        _check_shapes(shapes, tensors)
        if np.any(tensors["conditions.width"] <= 0):
            raise ValueError("conditions.width is not above 0 everywhere")
        for target in model.targets:
            _check_knots(*_knots_of(target.name), tensors)
    except ValueError as error:
        raise BundleError(
            f"model {model.name} of the bundle: {error}; see 'flashsim-prod bundle format {model.name}'"
        ) from error


def _check_shapes(expected: dict[str, tuple[int, ...]], tensors: Tensors) -> None:
    for name, shape in expected.items():
        if name not in tensors:
            raise ValueError(f"the tensor {name} is missing")
        tensor = tensors[name]
        if tensor.ndim != len(shape) or (KNOTS not in shape and tensor.shape != shape):
            wanted = "(knots,)" if KNOTS in shape else shape
            raise ValueError(f"{name} has the shape {tensor.shape}, expected {wanted}")
        if tensor.dtype.kind != "f":
            raise ValueError(f"{name} is of type {tensor.dtype}, expected float16, float32 or float64")
        if not np.all(np.isfinite(tensor)):
            raise ValueError(f"{name} holds numbers that are not finite")
    for name in tensors:
        if name not in expected:
            raise ValueError(f"there is a tensor {name} that is not of this model")


def _check_knots(cdf_name: str, value_name: str, tensors: Tensors) -> None:
    cdf, value = tensors[cdf_name], tensors[value_name]
    if len(cdf) < 2 or len(cdf) != len(value):
        raise ValueError(f"{cdf_name} and {value_name} have {len(cdf)} and {len(value)} knots, not 2 or more")
    if cdf[0] != 0 or cdf[-1] != 1 or not _rises(cdf):
        raise ValueError(f"{cdf_name} does not rise from 0 to 1")
    if not _rises(value):
        raise ValueError(f"{value_name} falls somewhere")


def _rises(column: NDArray[np.floating]) -> bool:
    return bool(np.all(np.diff(column) >= 0))
