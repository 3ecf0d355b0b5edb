"""Records of HepMC events: what pyhepmc reads of their text, as numpy columns in GeV."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.hepmc.file import Head
from flashsim_prod.physics.generator.hepmc.tables import Table, split

_ENDS = {"3": b"HepMC::Asciiv3-END_EVENT_LISTING\n\n", "2": b"HepMC::IO_GenEvent-END_EVENT_LISTING\n\n"}
#: the particles that a vertex of version 3 names
_ENDED = re.compile(rb"^V[^\[\n]*\[([^\]\n]*)", re.MULTILINE)
#: as the library has it
_GEV_PER_MEV = 0.001
#: what NanoAOD has of partons that nobody tells of
_UNTOLD = (-1, -1, -1.0, -1.0, -1.0, -1.0, -1.0)


@dataclass(frozen=True)
class Record:
    """An event as its file has it, in GeV.

    Attributes
    ----------
    number : int
        Event number.
    names, weights : tuple
        Of its weights; no names where the file gives none.
    table : Table
        Its particles.
    pdf : tuple
        Flavours, fractions, densities of the two partons and their scale.
    signal_vertex : int
        Id of the vertex that is the hard process, 0 if the record does not say.
    cross_section_pb, cross_section_error_pb : float or None
        The generator's estimate so far [pb].
    tools : tuple of str
        What made it.
    """

    number: int
    names: tuple[str, ...]
    weights: tuple[float, ...]
    table: Table
    pdf: tuple[float, ...]
    signal_vertex: int
    cross_section_pb: float | None
    cross_section_error_pb: float | None
    tools: tuple[str, ...]


@cache
def library() -> Any:
    """pyhepmc, which says nothing by itself: what is wrong is told in a line of one's own."""
    import pyhepmc

    pyhepmc.Setup.print_errors = False
    pyhepmc.Setup.print_warnings = False
    pyhepmc.Setup.debug_level = 0
    return pyhepmc


def read_records(
    head: Head, texts: Sequence[bytes], where: Sequence[str], *, is_compiled: bool = False
) -> Iterator[Record]:
    """The events that `texts` tell; `InputError`, which names one as in `where`, for what cannot be read.

    Parameters
    ----------
    head : Head
        Of their file.
    texts : sequence of bytes
    where : sequence of str
    is_compiled : bool
        Whether lines of particles are read by what is compiled for it, where that is possible: ten times as
        fast, with the same contents; compiling takes seconds on a machine that has not done it yet.
    """
    pyhepmc = library()
    apart = [split(text) if is_compiled and head.form == "3" else None for text in texts]
    parts = (text if one is None else one.rest for text, one in zip(texts, apart, strict=True))
    stream = pyhepmc.io.pyiostream(io.BytesIO(head.text + b"".join(parts) + _ENDS[head.form]))
    reader = (pyhepmc.io.ReaderAscii if head.form == "3" else pyhepmc.io.ReaderAsciiHepMC2)(stream)
    event = pyhepmc.GenEvent()
    for text, name, one in zip(texts, where, apart, strict=True):
        vertices, particles = (0, 0) if one else _sizes(head, text, name)
        try:
            reader.read_event(event)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{name} cannot be read: {' '.join(str(error).split())}") from error
        found = len(event.vertices), len(event.particles)
        if reader.failed() or found[0] != vertices or particles not in (None, found[1]):
            raise InputError(f"{name} cannot be read: its record is damaged or not complete")
        if one is None and not found[1]:
            raise InputError(f"{name} cannot be read: it has no particles")
        yield _record(event, _table(event) if one is None else _in_gev(event, one.table))


def _table(event: Any) -> Table:
    pyhepmc = library()
    event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    # a new one each time: links are added to those that are there
    data = pyhepmc.GenEventData()
    event.write_data(data)
    return Table.of_data(data)


def _in_gev(event: Any, table: Table) -> Table:
    if event.momentum_unit == library().Units.GEV:
        return table
    return replace(table, momenta=table.momenta * _GEV_PER_MEV)


def _sizes(head: Head, text: bytes, where: str) -> tuple[int, int | None]:
    """Vertices and particles that an event says it has; the second is in version 3 only."""
    words = text.partition(b"\n")[0].split()
    try:
        if head.form == "2":
            return int(words[8]), None
        vertices, particles = int(words[2]), int(words[3])
        ended = b",".join(_ENDED.findall(text)).split(b",")
        highest = max((int(one) for one in ended if one.strip()), default=0)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where} cannot be read: it does not say how many vertices it has") from error
    if highest > particles:
        # the library would look for it beyond the end of its memory
        raise InputError(f"{where} cannot be read: a vertex names particle {highest} of {particles}")
    return vertices, particles


def _record(event: Any, table: Table) -> Record:
    section = event.cross_section
    is_told = section is not None and section.is_valid
    return Record(
        number=event.event_number,
        names=_names(event),
        weights=tuple(event.weights),
        table=table,
        pdf=_pdf(event.pdf_info),
        signal_vertex=_signal_vertex(event),
        cross_section_pb=float(section.xsec(0)) if is_told else None,
        cross_section_error_pb=float(section.xsec_err(0)) if is_told else None,
        tools=_tools(event.run_info),
    )


def _names(event: Any) -> tuple[str, ...]:
    try:
        return tuple(event.weight_names)
    except RuntimeError:
        return ()


def _tools(info: Any) -> tuple[str, ...]:
    return () if info is None else tuple(f"{one.name} {one.version}".strip() for one in info.tools)


def _pdf(info: Any) -> tuple[float, ...]:
    if info is None or not (info.x1 > 0 and info.x2 > 0):
        return _UNTOLD
    return (info.parton_id1, info.parton_id2, info.x1, info.x2, info.xf1, info.xf2, info.scale)


def _signal_vertex(event: Any) -> int:
    """Which vertex the record calls that of the hard process, in any of the ways there are."""
    try:
        told = event.attributes["signal_process_vertex"]
        return min(int(told.astype(int) if hasattr(told, "astype") else told), 0)
    except (KeyError, ValueError, TypeError):
        return 0
