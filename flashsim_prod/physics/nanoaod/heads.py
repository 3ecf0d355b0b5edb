"""A TTree being written by uproot, in less time: the bytes are the same.

The head, which describes the branches, takes a time that grows as their number does. uproot builds a head as
one list of pieces and, for every branch, counts the bytes of all that stand before it. Here it builds a head
for each branch alone, and these are put together. What is free in the file is written once for all branches,
not after the basket of each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import uproot
from uproot.writing import _cascadetree

#: pieces behind the branches: the references to the leaves, with their header, and what is always empty
_BEHIND = 3
_TTREE_VERSION, _TOBJARRAY_VERSION = 20, 3
_REFERENCES = struct.Struct(">I13sI4s")


class LinearTree(_cascadetree.Tree):  # type: ignore[misc]
    """uproot's tree being written, with a head that is put together branch by branch."""

    _branch_data: list[dict[str, Any]]
    _freesegments: Any

    def extend(self, file: Any, sink: Any, data: Mapping[str, Any]) -> None:
        """Write a basket of every branch."""
        free = self._freesegments
        self._freesegments = _Unwritten(free)
        try:
            super().extend(file, sink, data)
        finally:
            self._freesegments = free
        free.write(sink)
        sink.set_file_length(free.fileheader.end)
        sink.flush()

    def _build_out(self) -> list[bytes]:
        descriptions = self._branch_data
        try:
            self._branch_data = []
            head: list[bytes] = super()._build_out()
            front = len(head) - _BEHIND
            branches, leaves, size = [], [], 0
            for datum in descriptions:
                if datum["kind"] == "record":
                    continue
                self._branch_data = [datum]
                branch = b"".join(super()._build_out()[front:-_BEHIND])
                for place in ("metadata_start", "basket_metadata_start", "tleaf_reference_number"):
                    datum[place] += size
                branches.append(branch)
                leaves.append(datum["tleaf_reference_number"])
                size += len(branch)
        finally:
            self._branch_data = descriptions
        return _joined(head, branches, leaves)


class _Unwritten:
    """The list of what is free in a file, which for now is not written to it."""

    def __init__(self, free: Any) -> None:
        self._free = free

    def __getattr__(self, name: str) -> Any:
        return getattr(self._free, name)

    def write(self, sink: Any) -> None:
        """Do nothing: the next basket would lie where this is."""


def _joined(head: list[bytes], branches: list[bytes], leaves: list[int]) -> list[bytes]:
    """`head`, a head of no branches, with `branches` and references to `leaves`."""
    front = len(head) - _BEHIND
    array, size = front - 3, front - 1
    before = head[:front]
    before[size] = uproot.models.TObjArray._tobjarray_format1.pack(len(branches), 0)
    before[array] = _sized([*before[array + 1 :], *branches], _TOBJARRAY_VERSION)
    references = np.array(leaves, ">u4").tobytes()
    _, fixed, _, end = _REFERENCES.unpack(head[front])
    n_bytes = (21 + len(references)) | int(uproot.const.kByteCountMask)
    behind = [_REFERENCES.pack(n_bytes, fixed, len(leaves), end), references, head[-1]]
    whole = [*before, *branches, *behind]
    whole[0] = _sized(whole[1:], _TTREE_VERSION)
    return whole


def _sized(pieces: list[bytes], version: int) -> bytes:
    sized: bytes = uproot.serialization.numbytes_version(sum(map(len, pieces)), version)
    return sized


@contextmanager
def linear_heads() -> Iterator[None]:
    """While this lasts, the trees that uproot makes are `LinearTree`\\ s."""
    original = _cascadetree.Tree
    _cascadetree.Tree = LinearTree
    try:
        yield
    finally:
        _cascadetree.Tree = original
