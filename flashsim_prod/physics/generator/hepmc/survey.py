"""What has to be known of HepMC files when a request is made: all events' weights, and a few events whole."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.hepmc.file import Head, event_texts, read_head
from flashsim_prod.physics.generator.hepmc.graph import GraphParticles, check_graph
from flashsim_prod.physics.generator.hepmc.record import Record, read_records
from flashsim_prod.physics.generator.hepmc.weights import nominal_of
from flashsim_prod.physics.generator.source import refuse_twins

_SAMPLED = 20
_PROTON = 2212
_HEAVY = (6, 23, 24, 25)
#: hadrons that CMS lets fly into the detector
_FLYING = (310, 3122, 3112, 3222, 3312, 3334)
_HARD = (21, 30)
#: the largest number that a branch of weights holds
_FLOAT_MAX = 3.4028234e38
#: of the beams' energy, what may be missing by rounding
_ROUNDING = 0.01
_SECTIONS = re.compile(rb"\n(?:A 0 GenCrossSection|C) (\S+) (\S+)")
_WEIGHTS = re.compile(rb"\nW ([^\n]*)")
_BODY = re.compile(rb"\n[PV] ")
_ENERGY_AGREES = 1e-3


@dataclass
class Scan:
    """What all events of a file say before their particles."""

    nominal: int = 0
    entries: int = 0
    negative: int = 0
    lowest_number: int = 0
    cross_section: tuple[float, float] | None = None
    n_weights: int = 0


@dataclass(frozen=True)
class Survey:
    """A file that can be used.

    Attributes
    ----------
    names : tuple of str
        Of its weights, made up where it names none.
    beams_gev : float or None
        Energy of both beams together.
    told : tuple of str
        What of its events is not as elsewhere, for people.
    first : str
        A digest of the final particles of its first event.
    """

    url: str
    head: Head
    scan: Scan
    names: tuple[str, ...]
    tools: tuple[str, ...]
    beams_gev: float | None
    heavy: frozenset[int] | None
    told: tuple[str, ...]
    first: str = field(repr=False)


def survey(url: str) -> Survey:
    """Read a file to its end; `InputError` in one line for what cannot be used."""
    head = read_head(url)
    sampled = list(islice(event_texts(url), _SAMPLED))
    if not sampled:
        raise InputError(f"{url} holds no events; leave it out")
    where = [f"{url}: event {place}" for place in range(len(sampled))]
    records = list(read_records(head, sampled, where))
    names = records[0].names or tuple(map(str, range(len(records[0].weights))))
    scan = Scan(nominal=nominal_of(names))
    for text in event_texts(url):
        _look_at(scan, head, text, f"{url}: event {scan.entries}")
    particles = GraphParticles.of(records)
    check_graph(particles, where)
    energies = [beams_of(record, name) for record, name in zip(records, where, strict=True)]
    return Survey(
        url=url,
        head=head,
        scan=scan,
        names=names,
        tools=records[0].tools,
        beams_gev=energies[0],
        heavy=_heavy(particles),
        told=_oddities(particles, energies),
        first=_digest(records[0]),
    )


def survey_alike(surveys: Sequence[Survey]) -> Survey:
    """The first, with which all are one sample; `InputError` if one has other weights, or is a copy."""
    first = surveys[0]
    for one in surveys[1:]:
        if one.names != first.names:
            odd = sorted(set(one.names) ^ set(first.names))
            told = f": '{odd[0]}' is in one only" if odd else " in this order"
            raise InputError(
                f"{one.url} has not the same weights as {first.url}{told}; give files of one generation"
            )
        if not _same_energy(one.beams_gev, first.beams_gev):
            raise InputError(
                f"{one.url} has beams of {_told(one.beams_gev)}, {first.url} of {_told(first.beams_gev)}; "
                "give files of one energy"
            )
    refuse_twins((one.url, one.first) for one in surveys)
    return first


def _digest(record: Record) -> str:
    """Of its final particles, whatever the form, order and number that the event is written with."""
    table = record.table
    final = table.status == 1
    columns = (table.pdg_id[final].tolist(), *table.momenta[:3, final].tolist())
    rows = sorted(f"{one} {px:.6g} {py:.6g} {pz:.6g}" for one, px, py, pz in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def beams_of(record: Record, where: str) -> float | None:
    """Energy of both beams [GeV], `None` of a record without any; `InputError` for what CMS does not see."""
    table = record.table
    beam = table.status == 4
    ids = table.pdg_id[beam].tolist()
    if not ids:
        return None
    if ids != [_PROTON, _PROTON]:
        told = " and ".join(map(str, ids))
        raise InputError(f"{where}: its beams are {told}; only proton-proton can be used")
    one, other = table.momenta[3, beam].tolist()
    if not math.isclose(one, other, rel_tol=_ENERGY_AGREES):
        raise InputError(f"{where}: beams of {one:g} and {other:g} GeV; only equal ones can be used")
    return float(one + other)


def _same_energy(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_ENERGY_AGREES)


def _told(beams_gev: float | None) -> str:
    return "unknown energy" if beams_gev is None else f"{beams_gev:g} GeV"


def _look_at(scan: Scan, head: Head, text: bytes, where: str) -> None:
    """Take what is before an event's particles into `scan`."""
    body = _BODY.search(text)
    if body is None:
        raise InputError(f"{where} has no particles")
    before = text[: body.start() + 1]
    words = before.partition(b"\n")[0].split()
    try:
        number = int(words[1])
        weights = [float(one) for one in _weights(head, before, words)]
    except (ValueError, IndexError) as error:
        raise InputError(f"{where} cannot be read: {error}") from error
    check_weights(weights, scan.nominal, where)
    scan.negative += bool(weights) and weights[scan.nominal] < 0
    if scan.entries and len(weights) != scan.n_weights:
        raise InputError(f"{where} has {len(weights)} weights, those before it {scan.n_weights}")
    scan.n_weights, scan.entries = len(weights), scan.entries + 1
    scan.lowest_number = min(scan.lowest_number, number)
    sections = _SECTIONS.findall(before)
    if sections:
        value, error_pb = (float(one) for one in sections[-1])
        if math.isfinite(value) and value > 0:
            scan.cross_section = value, error_pb


def _weights(head: Head, before: bytes, words: Sequence[bytes]) -> Sequence[bytes]:
    if head.form == "3":
        match = _WEIGHTS.search(before)
        return match[1].split() if match else []
    n_random = int(words[11])
    number = int(words[12 + n_random])
    found = words[13 + n_random :]
    if len(found) != number:
        raise ValueError(f"it has {len(found)} weights, but says {number}")
    return found


def check_weights(weights: Sequence[float], nominal: int, where: str) -> None:
    """`InputError` for weights that NanoAOD cannot hold."""
    if not all(map(math.isfinite, weights)):
        raise InputError(f"{where} has a weight that is not finite")
    if any(abs(one) > _FLOAT_MAX for one in weights):
        raise InputError(f"{where} has a weight of {max(weights, key=abs):g}, more than NanoAOD can hold")
    if any(weights) and not weights[nominal]:
        raise InputError(f"{where} has a weight of 0, by which its others cannot be divided")


def _heavy(particles: GraphParticles) -> frozenset[int] | None:
    """Top quarks and bosons that the hard process has in at least half of the events."""
    status = particles.status
    hard = particles.is_marked_hard | ((status >= _HARD[0]) & (status < _HARD[1]))
    if not hard.any():
        return None
    events = {one: len(np.unique(particles.event[hard & (particles.abs_id == one)])) for one in _HEAVY}
    return frozenset(one for one, number in events.items() if 2 * number >= len(particles.counts))


def _oddities(particles: GraphParticles, energies: Sequence[float | None]) -> tuple[str, ...]:
    status, told = particles.status, []
    if _heavy(particles) is None:
        told.append(
            "no hard process is marked (no status 3 or 21 to 29, no signal vertex): isHardProcess and "
            "fromHardProcess are never set"
        )
    flying = np.isin(particles.abs_id, _FLYING) & particles.has_daughters & (particles.next_copy < 0)
    if (flying & (status != 1)).any():
        told.append("K0S, Lambda and the like are decayed, which CMS leaves to the detector")
    final = particles.is_final
    sums = np.bincount(particles.event[final], weights=particles.energy[final], minlength=len(energies))
    share = [found / beams for found, beams in zip(sums.tolist(), energies, strict=True) if beams]
    worst = max(share, key=lambda one: abs(one - 1), default=1.0)
    if abs(worst - 1) > _ROUNDING:
        told.append(f"final particles have {worst:.0%} of the energy of the beams")
    if None in energies:
        told.append("no beams in the record")
    return tuple(told)
