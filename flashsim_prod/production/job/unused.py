"""Memory of what was needed only while libraries were loaded, given back before a job works."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_SMAPS = Path("/proc/self/smaps")
#: a mapping's first line: where it lies, what may be done there, and the file's name if it is of one
_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+) *(.*)")


class Mapped(NamedTuple):
    """Pages of a file that a process sees, none of them written to."""

    start: int
    length: int
    path: str


def give_back() -> None:
    """Have this process hold no pages of libraries that it does not use.

    A library's file is read when it is loaded, and most of that is never looked at again: of LLVM, which
    loads compiled functions, of pyarrow, which awkward loads where it is installed, of much of torch. Pages
    that are used come back one by one, from what the system keeps of the file. So does free memory of the
    heap. Where any of this cannot be had nothing happens.
    """
    with suppress(OSError, ValueError, AttributeError):
        libc = ctypes.CDLL(None)
        for one in unwritten(_SMAPS.read_text(encoding="utf-8").splitlines()):
            libc.madvise(ctypes.c_void_p(one.start), ctypes.c_size_t(one.length), mmap.MADV_DONTNEED)
        libc.malloc_trim(ctypes.c_size_t(0))


def unwritten(smaps: Iterable[str]) -> Iterator[Mapped]:
    """Of the lines of ``/proc/PID/smaps`` the mappings of libraries that hold only what is in their files.

    Whatever was written to such a mapping, as where addresses are put in, would be lost.
    """
    library: Mapped | None = None
    for line in smaps:
        if head := _HEAD.fullmatch(line):
            start, end = (int(edge, 16) for edge in head.group(1, 2))
            is_library = head[4] != "0" and ".so" in Path(head[5]).name and "w" not in head[3]
            library = Mapped(start, end - start, head[5]) if is_library else None
        elif library is not None and line.startswith("Anonymous:"):
            if line.split()[1] == "0":
                yield library
            library = None
