"""Networks made without flashsim-prod, as a bundle that it imports: only numpy and safetensors.

    flashsim-prod bundle format MODEL --json > contract.json
    flashsim-prod train extract full.root --work training
    python write_bundle.py contract.json training/tables/MODEL/full.safetensors my_bundle [ATTRIBUTE ...]
    flashsim-prod bundle import my_bundle --base reference

Attributes that are named after the folder are left out, as if they had not been known when it was made.

What it learns can be written down: the number of objects by logistic regression, each attribute by its
distribution and a linear regression on the conditions. The weights say just that, exactly.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Tensors = dict[str, np.ndarray]


def normal_quantile(level: np.ndarray) -> np.ndarray:
    """The number below which a normal one is with probability `level`, from a table of its distribution."""
    x = np.linspace(-6, 6, 24_001)
    density = np.exp(-(x**2) / 2)
    return np.interp(level, np.cumsum(density) / density.sum(), x)


def knots(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative distribution: every value of a discrete sample is a step, a continuum is joined by lines."""
    values, counts = np.unique(sample.astype(np.float32), return_counts=True)
    upper = np.cumsum(counts) / counts.sum()
    if sample.dtype.kind in "iub" or len(values) <= 2:
        lower = np.concatenate(([0.0], upper[:-1]))
        return np.stack((lower, upper), axis=1).ravel(), np.repeat(values, 2)
    cdf = np.linspace(0, 1, 101)
    return cdf, np.quantile(sample.astype(np.float64), cdf)


def as_normal(sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`sample` by rank as normal numbers; equal values, in any order, have each a rank of their own."""
    order = np.lexsort((rng.random(len(sample)), sample))
    level = np.empty(len(sample))
    level[order] = (np.arange(len(sample)) + 0.5) / len(sample)
    return normal_quantile(level)


def logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients and, last, the constant of P(y = 1) = 1 / (1 + exp(-(a x + b))), by Newton's method."""
    columns = np.column_stack((x, np.ones(len(x))))
    found = np.zeros(columns.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-columns @ found))
        slope = columns.T @ (y - p) - 1e-3 * found
        curvature = (columns * (p * (1 - p))[:, None]).T @ columns + 1e-3 * np.eye(len(found))
        found += np.linalg.solve(curvature, slope)
    return found


def both_signs(matrix: np.ndarray) -> np.ndarray:
    """Rows twice, the second time with the other sign: silu(u) - silu(-u) = u."""
    return np.concatenate((matrix, -matrix))


def multiplicity(x: np.ndarray, number: np.ndarray) -> Tensors:
    """One hidden layer of two, which carries a line through the conditions to the logit of one object."""
    found = logistic(x, np.minimum(number, 1))
    return {
        "layers.0.weight": both_signs(found[None, :-1]),
        "layers.0.bias": np.zeros(2),
        "layers.2.weight": np.array([[0.0, 0.0], [1.0, -1.0]]),
        "layers.2.bias": np.array([0.0, found[-1]]),
    }


def velocity(x: np.ndarray, targets: list[np.ndarray], rng: np.random.Generator) -> tuple[Tensors, int]:
    """Weights whose flow gives each attribute the mean m(c) = a c + b and the width w; and their width.

    With v = (2t-1) s^2 x + s (k s x + q) the flow ends at w z + q (w-1)/k, where w = exp(k pi/2).
    """
    columns = np.column_stack((x, np.ones(len(x))))
    normal = np.stack([as_normal(target, rng) for target in targets], axis=1)
    regression = np.linalg.lstsq(columns, normal, rcond=None)[0].T
    spread = np.std(normal - columns @ regression.T, axis=0)
    # a width of one needs no k, and no division by it
    spread = np.minimum(spread, 0.999)
    k = np.log(spread) * 2 / np.pi
    pull = regression * (k / (spread - 1))[:, None]
    n, n_conditions = len(targets), x.shape[1]
    # a line for each sign of each target's share of the conditions, and of the target itself
    width = 4 * n
    read = np.zeros((width, n_conditions))
    read[: 2 * n] = both_signs(pull[:, :-1])
    carry = np.zeros((width, width))
    carry[: 2 * n, : 2 * n] = np.block([[np.eye(n), -np.eye(n)], [-np.eye(n), np.eye(n)]])
    enter = np.zeros((width, n))
    enter[2 * n :] = both_signs(np.eye(n))
    leave = np.hstack((np.eye(n), -np.eye(n), np.diag(k), -np.diag(k)))
    start = np.zeros((3 * width, width))
    start[:width] = carry
    nothing = np.zeros((width, width))
    return {
        "context.0.weight": read,
        "context.0.bias": np.zeros(width),
        "context.2.weight": carry,
        "context.2.bias": np.zeros(width),
        "from_context.weight": start,
        "from_context.bias": np.zeros(3 * width),
        "from_time.weight": np.zeros((3 * width, 2)),
        "enter.weight": enter,
        "blocks.0.first.weight": nothing,
        "blocks.0.first.bias": np.zeros(width),
        "blocks.0.second.weight": nothing,
        "blocks.0.second.bias": np.zeros(width),
        "leave.weight": leave,
        "leave.bias": pull[:, -1],
    }, width


def weights(contract: dict[str, Any], table: Tensors) -> tuple[Tensors, dict[str, Any]]:
    """All tensors of one object model, and the sizes of its networks."""
    rng = np.random.default_rng(1)
    conditions = table["conditions"].astype(np.float64)
    mean, spread = conditions.mean(axis=0), conditions.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    x = np.clip((conditions - mean) / spread, -8, 8)
    names = [target.split(":")[0] for target in contract["targets"]]
    targets = [table[f"target.{name}"] for name in names]
    found: Tensors = {"conditions.mean": mean, "conditions.width": spread}
    for name, target in zip(names, targets, strict=True):
        found[f"{name}.cdf"], found[f"{name}.value"] = knots(target)
    flow, width = velocity(x[table["row"]], targets, rng)
    found |= {f"velocity.{name}": tensor for name, tensor in flow.items()}
    if contract["most"]:
        numbers = multiplicity(x, table["number"])
        found |= {f"multiplicity.{name}": tensor for name, tensor in numbers.items()}
    sizes = {"width": width, "blocks": 1, "time_frequencies": 1, "classifier": [2]}
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in found.items()}, sizes


def main(contract_file: str, table_file: str, folder: str, *left_out: str) -> None:
    """Write the bundle."""
    contract = json.loads(Path(contract_file).read_text(encoding="utf-8"))
    contract["targets"] = [one for one in contract["targets"] if one.split(":")[0] not in left_out]
    if contract["most"] > 1:
        sys.exit("logistic regression knows only none or one object; take another model")
    tensors, sizes = weights(contract, load_file(table_file))
    model, target = contract["model"], Path(folder)
    target.mkdir()
    file = target / f"{model}.safetensors"
    save_file(tensors, file)
    entry = {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "network": sizes,
        "parameters": sum(tensor.size for name, tensor in tensors.items() if name.startswith(("v", "m"))),
        **{key: contract[key] for key in ("kind", "form", "produces", "most", "conditions", "targets")},
    }
    manifest = {
        "schema_version": 2,
        "name": target.name,
        "title": "Linear models, made outside",
        "tag": "Outside",
        "created": "2026-01-31T12:00:00Z",
        "software": {"numpy": np.__version__},
        "training_sample": [Path(table_file).stem],
        "models": {model: entry},
    }
    (target / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main(*sys.argv[1:])
