"""HepMC files, made here: of Pythia8's record as Pythia8 itself converts it, and of graphs by hand."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyhepmc


def run_info(names: Sequence[str] = ("Default",)) -> Any:
    """What a file says of its run: the names of its weights."""
    info = pyhepmc.GenRunInfo()
    info.weight_names = list(names)
    return info


def of_pythia(record: Any, number: int, info: Any, weights: Sequence[float] = (1.0,)) -> Any:
    """An event of Pythia8 by its own conventions: all entries but the first, with their HepMC status."""
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.run_info = info
    event.event_number = number
    event.weights = list(weights)
    particles: list[Any] = [None]
    for place in range(1, record.size()):
        one = record[place]
        particle = pyhepmc.GenParticle((one.px(), one.py(), one.pz(), one.e()), one.id(), one.statusHepMC())
        particle.generated_mass = one.m()
        particles.append(particle)
    vertices = []  # particles alone do not keep them
    for place in range(1, record.size()):
        mothers = [particles[one] for one in record[place].motherList() if one > 0]
        if not mothers:
            continue
        vertex = mothers[0].end_vertex
        if vertex is None:
            vertex = pyhepmc.GenVertex()
            vertices.append(vertex)
            for one in mothers:
                vertex.add_particle_in(one)
        vertex.add_particle_out(particles[place])
    # in an order in which parents come first, as readers want them
    event.add_tree(particles[1:3])
    return event


def write_hepmc(
    path: Path, events: Iterable[Any], *, form: str = "hepmc3", change: Callable[[str], str] = str
) -> Path:
    """Write `events` in one of the two ASCII forms, gzipped if the name says so."""
    plain = path.with_name(path.name + ".tmp")
    with pyhepmc.open(str(plain), "w", format=form) as file:
        for event in events:
            file.write(event)
    data = change(plain.read_text(encoding="utf-8")).encode()
    plain.unlink()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


#: one particle by hand: PDG code, status, momentum, mass, positions of its mothers
Row = tuple[int, int, tuple[float, float, float], float, tuple[int, ...]]


def by_hand(
    rows: Sequence[Row],
    number: int = 0,
    *,
    info: Any = None,
    weights: Sequence[float] = (1.0,),
    unit: Any = pyhepmc.Units.GEV,
    cross_section: tuple[float, float] | None = None,
    signal_vertex: int = 0,
) -> Any:
    """An event from its particles; those that have the same mothers begin at the same vertex."""
    event = pyhepmc.GenEvent(unit, pyhepmc.Units.MM)
    event.run_info = run_info() if info is None else info
    event.event_number = number
    event.weights = list(weights)
    particles = []
    for pdg_id, status, momentum, mass, _ in rows:
        energy = (sum(one**2 for one in momentum) + mass**2) ** 0.5
        particles.append(pyhepmc.GenParticle((*momentum, energy), pdg_id, status))
        particles[-1].generated_mass = mass
        event.add_particle(particles[-1])
    vertices: dict[tuple[int, ...], Any] = {}
    for particle, row in zip(particles, rows, strict=True):
        if not row[4]:
            continue
        if row[4] not in vertices:
            vertex = vertices[row[4]] = pyhepmc.GenVertex()
            event.add_vertex(vertex)
            for one in row[4]:
                vertex.add_particle_in(particles[one])
        vertices[row[4]].add_particle_out(particle)
    if cross_section is not None:
        section = pyhepmc.GenCrossSection()
        event.cross_section = section
        section.set_cross_section(*cross_section, 1, 1)
    if signal_vertex:
        event.attributes["signal_process_vertex"] = signal_vertex
    return event


#: two protons, at 13 TeV
BEAMS: tuple[Row, ...] = (
    (2212, 4, (0.0, 0.0, 6500.0), 0.0, ()),
    (2212, 4, (0.0, 0.0, -6500.0), 0.0, ()),
)


def muon_pair(pt: float = 40.0) -> list[Row]:
    """Two quarks to a Z boson to two muons, and what is left of the beams."""
    return [
        *BEAMS,
        (1, 21, (0.0, 0.0, 50.0), 0.0, (0,)),
        (-1, 21, (0.0, 0.0, -50.0), 0.0, (1,)),
        (23, 22, (0.0, 0.0, 0.0), 100.0, (2, 3)),
        (13, 1, (pt, 0.0, 5.0), 0.105, (4,)),
        (-13, 1, (-pt, 0.0, -5.0), 0.105, (4,)),
        (2112, 1, (0.0, 0.0, 6450.0), 0.94, (0,)),
        (2112, 1, (0.0, 0.0, -6450.0), 0.94, (1,)),
    ]
