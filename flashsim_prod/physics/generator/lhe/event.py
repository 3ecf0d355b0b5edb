"""One event of an LHE file: its particles and its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.lhe.file import as_float
from flashsim_prod.physics.generator.lhe.weights import Declared

_WEIGHT = re.compile(r"""<wgt\b[^>]*?\bid\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*>([^<]*)</wgt>""")
_PLAIN_WEIGHTS = re.compile(r"<weights\b[^>]*>(.*?)</weights>", re.DOTALL)
_COUNTS = re.compile(r"""\b(npLO|npNLO)\s*=\s*["']\s*(-?\d+)\s*["']""")
#: the largest number that a branch of weights holds
_FLOAT_MAX = 3.4028234e38
_NUMBERS = 6


@dataclass(frozen=True, slots=True)
class Particle:
    """A line of an event, in the file's order of columns; momenta, energy and mass in GeV."""

    id: int
    status: int
    mothers: tuple[int, int]
    colours: tuple[int, int]
    px: float
    py: float
    pz: float
    e: float
    m: float
    lifetime: float
    spin: float


@dataclass(frozen=True, slots=True)
class HardEvent:
    """An event as the file has it.

    Attributes
    ----------
    weight : float
        XWGTUP.
    scale_gev, alpha_qed, alpha_qcd : float
    particles : tuple of Particle
    weights : tuple of float
        As declared, in the order of the declarations.
    np_lo, np_nlo : int
        Numbers of partons that it was made with, -1 if not told.
    """

    weight: float
    scale_gev: float
    alpha_qed: float
    alpha_qcd: float
    particles: tuple[Particle, ...]
    weights: tuple[float, ...]
    np_lo: int
    np_nlo: int


def parse_event(text: str, declared: Sequence[Declared], where: str) -> HardEvent:
    """The event that `text` tells; `InputError`, which names it as `where`, for what cannot be used.

    Parameters
    ----------
    text : str
        From ``<event`` on, without ``</event>``.
    declared : sequence of Declared
        The weights that it must have.
    where : str
    """
    tag, _, body = text.partition(">")
    lines = [line for line in body.splitlines() if line and not line.isspace()]
    try:
        first = lines[0].split()
        particles = tuple(_particle(line) for line in lines[1 : 1 + int(first[0])])
        if len(particles) != int(first[0]) or len(particles) < 2:
            raise ValueError("fewer particles than it says")
        weight, scale, alpha_qed, alpha_qcd = map(as_float, first[2:_NUMBERS])
        weights = _weights(body, declared)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where} cannot be read: {error}") from error
    numbers = (weight, scale, alpha_qed, alpha_qcd, *weights)
    momenta = (value for one in particles for value in (one.px, one.py, one.pz, one.e, one.m))
    if not (all(map(math.isfinite, numbers)) and all(map(math.isfinite, momenta))):
        raise InputError(f"{where} holds a number that is not finite")
    if not weight or max(map(abs, (weight, *weights))) > _FLOAT_MAX:
        raise InputError(f"{where} has a weight of {weight:g}, by which no other can be divided or stored")
    counts = {name: int(value) for name, value in _COUNTS.findall(tag)}
    return HardEvent(
        weight,
        scale,
        alpha_qed,
        alpha_qcd,
        particles,
        weights,
        counts.get("npLO", -1),
        counts.get("npNLO", -1),
    )


def undeclared_weights(text: str, declared: Sequence[Declared]) -> tuple[Declared, ...]:
    """The weights that the event `text` has and its file does not declare, named by their ids."""
    known = {one.id for one in declared}
    ids = [double or single for double, single, _ in _WEIGHT.findall(text)]
    match = None if ids or declared else _PLAIN_WEIGHTS.search(text)
    ids += [str(number + 1) for number in range(len(match[1].split()))] if match else []
    return tuple(Declared(one, "") for one in dict.fromkeys(ids) if one not in known)


def _particle(line: str) -> Particle:
    words = line.split()
    whole, real = list(map(int, words[:6])), list(map(as_float, words[6:13]))
    if len(real) != 7:
        raise ValueError("a particle with fewer than 13 numbers")
    return Particle(whole[0], whole[1], (whole[2], whole[3]), (whole[4], whole[5]), *real)


def _weights(body: str, declared: Sequence[Declared]) -> tuple[float, ...]:
    """The values of the `declared` weights: by id, or where the event gives none, by their order."""
    if not declared:
        if "<wgt" in body or "<weights" in body:
            raise ValueError("it has weights, which the first event of the file has not")
        return ()
    found = {double or single: as_float(value) for double, single, value in _WEIGHT.findall(body)}
    if not found and (match := _PLAIN_WEIGHTS.search(body)):
        values = tuple(map(as_float, match[1].split()))
        if len(values) != len(declared):
            raise ValueError(f"it has {len(values)} weights, but its file declares {len(declared)}")
        return values
    lacking = next((one.id for one in declared if one.id not in found), None)
    if lacking is not None:
        raise ValueError(f"it has no weight '{lacking}', which its file declares")
    if len(found) > len(declared):
        odd = next(iter(found.keys() - {one.id for one in declared}))
        raise ValueError(f"its weight '{odd}' is neither declared nor in the first event of the file")
    return tuple(found[one.id] for one in declared)
