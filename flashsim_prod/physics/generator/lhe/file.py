"""LHE files, plain or gzipped: their head, and the text of their events.

Bytes are searched for the ends of events, not parsed, so that a job finds its first event as fast as the file
can be read, or decompressed: millions of events in seconds. Large files have an index, to be faster still.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flashsim_prod.errors import InputError
from flashsim_prod.files import open_regular
from flashsim_prod.physics.generator.lhe import index
from flashsim_prod.physics.generator.lhe.index import Marking, find_index, unpacking
from flashsim_prod.physics.generator.lhe.merging.powheg import is_of_powheg
from flashsim_prod.physics.generator.lhe.merging.settings import MadeFor, made_for
from flashsim_prod.physics.generator.lhe.weights import Declared, declared_weights
from flashsim_prod.physics.streams.opened import is_packed, opened, reading
from flashsim_prod.physics.streams.served import is_url

_PROTON = 2212
#: what is gzipped is at least so much of what it was
_MOST_PACKED = 10
_CHUNK = 1 << 20
#: heads, with run cards, parameters and code, are a few MB at most
_LARGEST_HEAD = 1 << 28
_END = b"</event>"
_KEPT = len(_END) - 1
#: of the end of a file, in which its last tag is looked for
_TAIL = 4096
_INIT = re.compile(r"<init\b[^>]*>(.*)\Z", re.DOTALL)
_EVENT = re.compile(rb"<event\b[^>]*>.*\Z", re.DOTALL)
_SLHA = re.compile(r"<slha\b[^>]*>(.*?)</slha>", re.DOTALL)


@dataclass(frozen=True)
class Head:
    """What a file says before its first event.

    Attributes
    ----------
    beams : tuple of int
        PDG ids.
    energies_gev : tuple of float
        Of the beams [GeV].
    cross_section_pb : float
        Of all its processes [pb].
    weights : tuple of Declared
    slha : str
        Masses and decays of its model, empty if it has none.
    merging : MadeFor
    is_powheg : bool
        Whether POWHEG made it.
    """

    beams: tuple[int, int]
    energies_gev: tuple[float, float]
    cross_section_pb: float
    weights: tuple[Declared, ...]
    slha: str
    merging: MadeFor
    is_powheg: bool

    @property
    def energy_tev(self) -> float:
        """Centre-of-mass energy [TeV]."""
        return round(sum(self.energies_gev) / 1000, 6)


def read_head(url: str) -> Head:
    """The head of a file; `InputError` in one line if it is none, or cannot be read."""
    with reading(url), _open(url) as stream:
        text, _, _ = _head(stream, url)
    match = _INIT.search(text)
    if match is None:
        raise InputError(f"{url}: no <init> before the first event; is it an LHE file?")
    try:
        beams, energies, cross_section = _init(match[1])
    except (ValueError, IndexError) as error:
        raise InputError(f"{url}: <init> cannot be read: {error}") from error
    slha = _SLHA.search(text)
    model = slha[1].strip() if slha else ""
    return Head(
        beams, energies, cross_section, declared_weights(text), model, made_for(text), is_of_powheg(text)
    )


def head_text(url: str) -> str:
    """All of a file before its first event; errors as of `read_head`."""
    with reading(url), _open(url) as stream:
        return _head(stream, url)[0] + "</init>\n"


def check_usable(head: Head, url: str) -> None:
    """`InputError` for what cannot be made into events as CMS sees them, or would be made wrongly."""
    if head.beams != (_PROTON, _PROTON):
        raise InputError(
            f"{url}: its beams are {head.beams[0]} and {head.beams[1]}; only proton-proton can be used"
        )
    one, other = head.energies_gev
    if not (math.isfinite(one) and one > 0 and math.isclose(one, other, rel_tol=1e-6)):
        raise InputError(f"{url}: beams of {one:g} and {other:g} GeV; only equal ones can be used")
    if not math.isfinite(head.cross_section_pb):
        raise InputError(f"{url}: the cross section in <init> is not finite")


def count_events(url: str) -> int:
    """The number of events of a file, which is read to its end; `InputError` if it is cut off or damaged."""
    marking = Marking(url)
    with reading(url), _open(url, is_indexed=True) as stream:
        _, more, place = _head(stream, url)
        more = more or stream.read(_CHUNK)
        marking.mark(0, place)
        number, tail = 0, b""
        while more:
            # an end may lie across two chunks; what is kept of the first is too short to hold one
            kept = tail[-_KEPT:]
            seen, place = kept + more, place - len(kept)
            number += seen.count(_END)
            end = seen.rfind(_END)
            if end >= 0:
                marking.mark(number, place + end + len(_END))
            place += len(seen)
            tail = tail[-_TAIL:] + more
            more = stream.read(_CHUNK)
        if b"</LesHouchesEvents>" not in tail:
            raise InputError(f"{url} is truncated: it does not end with </LesHouchesEvents>; copy it again")
        if not is_url(url):
            marking.write(place, stream)
    return number


def event_texts(url: str, first: int, number: int) -> Iterator[str]:
    """The text of events [first, first + number), counted from 0, each from ``<event`` to its end.

    Raises
    ------
    InputError
        The file holds fewer, or is damaged.
    """
    known = None if is_url(url) else find_index(url)
    mark = known.before(first) if known else None
    with reading(url), _open(url, known.states if known else b"") as stream:
        if mark is None:
            _, buffer, _ = _head(stream, url)
            begin = 0
        else:
            begin, place = mark
            stream.seek(place)
            buffer = b""
        skip, left = first - begin, number
        while left:
            ends = buffer.count(_END)
            if ends > skip:
                *ended, tail = buffer.split(_END, skip + left)
                for text in ended[skip:]:
                    yield _event(text, url)
                left, skip = left - (len(ended) - skip), 0
            else:
                skip, tail = skip - ends, buffer.rpartition(_END)[2] if ends == skip else buffer[-_KEPT:]
            if left:
                more = stream.read(_CHUNK)
                if not more:
                    raise InputError(f"{url} holds fewer events than when the request was made; put it back")
                buffer = tail + more


def _event(text: bytes, url: str) -> str:
    match = _EVENT.search(text)
    if match is None:
        raise InputError(f"{url}: an </event> without its <event>; the file is damaged, copy it again")
    return match[0].decode("utf-8", "replace")


def _head(stream: IO[bytes], url: str) -> tuple[str, bytes, int]:
    """What is before ``</init>``, what was read beyond it, and where that begins."""
    read = b""
    while b"</init>" not in read:
        more = stream.read(_CHUNK)
        if not more and not read:
            raise InputError(f"{url} is empty; copy it again, or let its generator finish")
        if not more or len(read) > _LARGEST_HEAD:
            raise InputError(f"{url}: no <init> ... </init>; is it an LHE file, and whole?")
        read += more
    head, _, rest = read.partition(b"</init>")
    if b"<LesHouchesEvents" not in head:
        raise InputError(f"{url} does not begin with <LesHouchesEvents>; it is no LHE file")
    return head.decode("utf-8", "replace"), rest, len(read) - len(rest)


def _init(text: str) -> tuple[tuple[int, int], tuple[float, float], float]:
    """Beams, their energies and the cross section, from the numbers of ``<init>``."""
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    first = lines[0]
    processes = lines[1 : 1 + int(first[9])]
    if len(processes) != int(first[9]) or not processes:
        raise ValueError("fewer processes than it says")
    total = sum(as_float(process[0]) for process in processes)
    return (int(first[0]), int(first[1])), (as_float(first[2]), as_float(first[3])), total


def as_float(text: str) -> float:
    """A number, with an exponent as C or as Fortran writes it; `ValueError` if it is none."""
    try:
        return float(text)
    except ValueError:
        return float(text.lower().replace("d", "e"))


@contextmanager
def _open(url: str, states: bytes = b"", *, is_indexed: bool = False) -> Iterator[IO[bytes]]:
    """The contents of a file, unpacked.

    Parameters
    ----------
    url : str
    states : bytes
        Of its index, if it has one; it is then fast to seek in.
    is_indexed : bool
        Whether an index is to be made, where it is large enough.
    """
    if not is_url(url) and (states or is_indexed):
        with open_regular(Path(url)) as file:
            packed = is_packed(file)
            size = file.seek(0, io.SEEK_END)
            # back to where what unpacks begins, whatever was looked at
            file.seek(0)
            if packed and (states or size * _MOST_PACKED >= index.LEAST_BYTES):
                with unpacking(file, size, states) as found:
                    if found is not None:
                        yield found
                        return
    with opened(url) as stream:
        yield stream
