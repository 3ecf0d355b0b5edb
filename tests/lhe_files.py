"""Small LHE files, made here: a quark and an antiquark to a Z boson to two muons, with what is asked for."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Sequence
from pathlib import Path

_GROUPS = """<initrwgt>
<weightgroup name="Central scale variation" combine="envelope">
<weight id="1001"> muR=0.10000E+01 muF=0.10000E+01 </weight>
<weight id="1002" MUR="0.5" MUF="2.0" > muR=0.5 muF=2.0 </weight>
<weight id="1003"> muR=0.5D0 muF=0.5D0 </weight>
<weight id="1004"> muR=2.0 muF=2.0 dyn_scale_choice=HT </weight>
</weightgroup>
<weightgroup name="NNPDF31_nnlo" combine="replicas">
<weight id="2001"> PDF set = 303600 member 0 </weight>
<weight id="2002"> PDF set = 303600 member 1 </weight>
</weightgroup>
<weightgroup name="CT14nlo" combine="hessian">
<weight id="3001"> PDF=13100 </weight>
</weightgroup>
<weight id="c_hw_plus"> c_hw &gt; 0 </weight>
</initrwgt>
"""
IDS = ("1001", "1002", "1003", "1004", "2001", "2002", "3001", "c_hw_plus")


def _event(
    number: int, energy_gev: float, weight: float, weights: Sequence[float], how: str, turned: float
) -> str:
    mass, rapidity, angle = 80.0 + 1.7 * number, 0.3 * math.sin(number), 0.4 + 0.11 * number + turned
    plus, minus = (mass / 2 * math.exp(sign * rapidity) for sign in (1, -1))
    px, pz = mass / 2 * math.sin(angle), mass / 2 * math.cos(angle)
    boosted = [
        (px * sign, math.cosh(rapidity) * pz * sign + math.sinh(rapidity) * mass / 2,
         math.cosh(rapidity) * mass / 2 + math.sinh(rapidity) * pz * sign)
        for sign in (1, -1)
    ]  # fmt: skip
    rows = [
        (2, -1, 0, 0, 501, 0, 0, 0, plus, plus, 0),
        (-2, -1, 0, 0, 0, 501, 0, 0, -minus, minus, 0),
        (23, 2, 1, 2, 0, 0, 0, 0, plus - minus, plus + minus, mass),
        (13, 1, 3, 3, 0, 0, boosted[0][0], 0, boosted[0][1], boosted[0][2], 0),
        (-13, 1, 3, 3, 0, 0, boosted[1][0], 0, boosted[1][1], boosted[1][2], 0),
    ]
    lines = [f"5 1 {weight:.10E} {mass:.8E} 7.8E-03 1.18E-01"]
    lines += [" ".join(f"{one:.12g}" for one in row) + " 0. 9." for row in rows]
    if how == "ids":
        told = [f"<wgt id='{one}'> {value:.10E} </wgt>" for one, value in zip(IDS, weights, strict=True)]
        lines += ["<rwgt>", *told, "</rwgt>"]
    elif how == "plain":
        lines += ["<weights> " + " ".join(f"{value:.10E}" for value in weights) + " </weights>"]
    return '<event npLO="0" npNLO="-1">\n' + "\n".join(lines) + "\n</event>\n"


def write_lhe(
    folder: Path,
    name: str = "z.lhe",
    events: int = 17,
    *,
    how: str = "ids",
    beams: tuple[int, int] = (2212, 2212),
    energies: tuple[float, float] = (6500.0, 6500.0),
    head: str = "",
    change: Callable[[str], str] = str,
) -> Path:
    """Write a file; `how` tells its weights: by ``ids``, in ``plain`` order, or ``none``.

    Files whose names begin with other letters have other events.
    """
    turned = 0.001 * (ord(Path(name).name[0]) - ord("z"))
    declared = _GROUPS if how in ("ids", "plain") else ""
    text = f'<LesHouchesEvents version="3.0">\n<header>\n{head}{declared}</header>\n<init>\n'
    text += f"{beams[0]} {beams[1]} {energies[0]:E} {energies[1]:E} 0 0 303600 303600 -4 2\n"
    text += "1.5E+03 1.0 1.0 1\n0.5E+03 1.0 1.0 2\n</init>\n"
    for number in range(events):
        weight = (-1.0 if number % 3 == 2 else 1.0) * (1900 + 10 * number)
        weights = [weight * (0.9 + 0.01 * number + 0.1 * place) for place in range(len(IDS))]
        text += _event(number, energies[0], weight, weights, how, turned)
    data = change(text + "</LesHouchesEvents>\n").encode()
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def mlm_head(most_jets: int = 1, xqcut: float = 10.0) -> str:
    """What MadGraph writes of samples for MLM merging of up to so many jets."""
    lines = ["define j = g u c d s u~ c~ d~ s~", "generate p p > z, z > mu+ mu- @0"]
    lines += [
        f"add process p p > z{' j' * jets} QED=2, z > mu+ mu- @{jets}" for jets in range(1, most_jets + 1)
    ]
    card = "\n".join(lines)
    return (
        f"<MG5ProcCard>\n{card}\n</MG5ProcCard>\n<MGRunCard>\n  1 = ickkw ! 1 MLM\n  {xqcut} = xqcut ! cut\n"
        "  4 = maxjetflavor\n</MGRunCard>\n"
    )
