"""How condition and time steer a flow's network: FiLM, as it is, against gated linear units as large.

    python tests/benchmarks/steering.py WORK [--model met] [--steps 600] [--objects 10000] [--seed 1 --seed 2]

WORK has the model's tables (``train extract``). All begin with the same weights, and learn the same rows in
the same order for the same number of steps; the time of a step is told beside. --way takes one of them alone.
Prints a line for each: the least loss on held-out rows, area and distances on sources that none has seen, and
processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds import networks
from flashsim_prod.physics.chain.registry import find_model, in_version
from flashsim_prod.physics.training.fit import fit_model
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.tables import load_tables
from flashsim_prod.physics.validation.models import kinds

film = networks._Block.forward


def glu(block: networks._Block, hidden: Tensor, gate: Tensor, shift: Tensor) -> Tensor:
    """What the block is with a gate from condition and time: no activation but the gate's."""
    inner = block.first(nn.functional.rms_norm(hidden, hidden.shape[-1:]))
    return cast(Tensor, hidden + block.second((inner + shift) * torch.sigmoid(gate)))


def silu_glu(block: networks._Block, hidden: Tensor, gate: Tensor, shift: Tensor) -> Tensor:
    """The same behind an activation of its own, as residual networks of normalizing flows have it."""
    inner = block.first(nn.functional.rms_norm(hidden, hidden.shape[-1:]))
    return cast(Tensor, hidden + block.second(nn.functional.silu(inner + shift) * torch.sigmoid(gate)))


_WAYS = {"FiLM": film, "GLU": glu, "SiLU, GLU": silu_glu}


def main() -> None:
    """Fit and measure each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="met")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--way", choices=_WAYS, action="append", help="all by default")
    asked = parser.parse_args()
    declared = find_model(asked.model)
    table = load_tables(asked.work / "tables", declared)
    # as a fit has it: of the tables' version, and without attributes that these lack
    model = in_version(declared, table.version)
    model = model.drawing({str(target) for target in model.targets if target.name in table.targets})
    learned, held_out = kinds.split(table, asked.objects)
    torch.set_num_threads(1)
    print(f"{'':10} seed  held-out loss  area   floor  median W1  correlations  ms/step")
    for seed in asked.seed or [1]:
        for name in asked.way or _WAYS:
            forward = _WAYS[name]
            networks._Block.forward = forward  # type: ignore[method-assign]
            settings = replace(FitSettings(seed=seed), flow_steps=asked.steps)
            began = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                fitted, record = fit_model(replace(model, most=0), learned, settings, Path(folder))
            ms = 1000 * (time.process_time() - began) / asked.steps
            least = min(loss for _, _, loss in record.losses["flow"])
            terms = kinds.Terms(objects=asked.objects, sampling=Sampling(), seed=seed)
            told = kinds._measured(fitted, held_out, kinds._stretch(table), terms)
            print(
                f"{name:10} {seed:4}  {least:13.4f}  {told['auc']:.4f} {told['floor']:.4f} "
                f"{told['median_w1']:10.4f}  {told['correlation_difference']:12.4f}  {ms:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
