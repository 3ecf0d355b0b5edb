"""Joining NANOAOD files end to end without holding more than a few thousand events in memory."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot

from flashsim_prod.errors import InputError, NodeError, NoSpaceError, StorageError
from flashsim_prod.physics.nanoaod.carried import schema_of_file
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.stamps import clear_times, fixed_times, set_identifier
from flashsim_prod.physics.nanoaod.trees import EVENTS_PER_BASKET, EventTree, make_tree, storing, type_of

Tool = Literal["hadd", "uproot"]

_SUMMARY_TREES = ("LuminosityBlocks", "Runs", "MetaData")


def find_hadd() -> Path | None:
    """ROOT's hadd: on PATH, beside the interpreter, or in a ROOT package that Python can import."""
    on_path = shutil.which("hadd")
    if on_path:
        return Path(on_path)
    places = [Path(sys.executable).parent]
    package = importlib.util.find_spec("ROOT")
    if package is not None:
        places += [Path(place) / "bin" for place in package.submodule_search_locations or ()]
    return next((place / "hadd" for place in places if os.access(place / "hadd", os.X_OK)), None)


def merge_files(inputs: Sequence[Path], output: Path, *, schema: Schema, tool: Tool | None = None) -> Tool:
    """Join the files `inputs`, in their order, into `output`.

    Events and LuminosityBlocks are joined row by row; Runs and MetaData keep one row per input, as haddnano
    does, so that readers sum genEventSumw. The same inputs and tool give the same bytes. `output` appears
    under its name only when it is complete.

    Parameters
    ----------
    inputs : sequence of Path
        Files that `NanoWriter` wrote, all with the same branches.
    output : Path
    schema : Schema
        Of the inputs.
    tool : {"hadd", "uproot"}, optional
        By default hadd, which copies baskets without decompressing them, if there is one.

    Returns
    -------
    str
        The tool that was used.

    Raises
    ------
    StorageError
        An input cannot be read or differs from the others, or the output cannot be written or lacks events.
    NoSpaceError
        The disk is too full for the output.
    NodeError
        hadd cannot be run here.
    """
    if not inputs:
        raise ValueError("there is nothing to merge")
    hadd = find_hadd() if tool != "uproot" else None
    if tool == "hadd" and hadd is None:
        raise NodeError("there is no hadd on this machine; install ROOT, or merge with uproot")
    expected, identifier = _look_at(inputs)
    with storing(output), tempfile.TemporaryDirectory(dir=output.parent, prefix=".merge_") as folder:
        _check_space(inputs, output)
        merged = Path(folder) / "merged.root"
        if hadd is not None:
            _run_hadd(hadd, inputs, merged)
        else:
            with fixed_times():
                _copy_events(inputs, merged, schema)
        _check_entries(merged, expected)
        if hadd is not None:
            clear_times(merged)
        set_identifier(merged, identifier)
        merged.replace(output)
    return "uproot" if hadd is None else "hadd"


def _look_at(inputs: Sequence[Path]) -> tuple[int, uuid.UUID]:
    """Number of events in all `inputs`, and a UUID that depends on theirs; all must have equal branches."""
    digest = hashlib.blake2b(digest_size=16)
    total = 0
    first: frozenset[str] | None = None
    for path in inputs:
        with _open(path) as file:
            if first is None:
                first = file.branches
            elif file.branches != first:
                odd = min(file.branches ^ first)
                raise StorageError(f"{path} cannot be merged with {inputs[0]}: only one of them has '{odd}'")
            total += file.n_entries
            digest.update(file.identifier.bytes)
    return total, uuid.UUID(bytes=digest.digest(), version=4)


def _check_space(inputs: Sequence[Path], output: Path) -> None:
    needed = sum(path.stat().st_size for path in inputs)
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        raise NoSpaceError(
            f"merging into {output} needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are left"
        )


def _run_hadd(hadd: Path, inputs: Sequence[Path], merged: Path) -> None:
    # run beside the output, since hadd writes the name that it is given into the file
    command = [str(hadd), "-v", "0", "-ff", merged.name, *(str(path.resolve()) for path in inputs)]
    try:
        done = subprocess.run(
            command, cwd=merged.parent, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except OSError as error:
        raise NodeError(f"{hadd} cannot be run: {error.strerror or error}") from error
    if done.returncode < 0:
        raise NodeError(f"hadd was killed by signal {-done.returncode}; is there enough memory?")
    complaint = next(
        (line for line in done.stderr.splitlines() if "rror" in line), done.stderr.strip()[-200:]
    )
    if "No space left" in done.stderr or "quota exceeded" in done.stderr.lower():
        raise NoSpaceError(f"no space left for hadd to merge {len(inputs)} files in {merged.parent.parent}")
    if done.returncode != 0:
        raise StorageError(f"hadd failed with exit code {done.returncode}: {complaint}")


def _copy_events(inputs: Sequence[Path], merged: Path, schema: Schema) -> None:
    with uproot.open(inputs[0]) as first:
        compression = first.file.compression
    with uproot.create(merged.open("w+b"), compression=compression) as target:
        full: Schema | None = None
        for path in inputs:
            with _open(path) as source:
                if full is None:
                    full = schema_of_file(source, schema)
                    # where a bundle makes what is not quite the version's, the files say so
                    full = full.called(
                        {one: source.title(one) for one in full.titles if one in source.branches}
                    )
                    tree = EventTree(target, str(merged), full)
                names = [name for name in full.branches if name in source.branches]
                for start in range(0, max(1, source.n_entries), EVENTS_PER_BASKET):
                    tree.add(source.read(names, start, start + EVENTS_PER_BASKET))
        tree.finish()
        for name in _SUMMARY_TREES:
            _join_rows(inputs, name, target, schema)


def _join_rows(inputs: Sequence[Path], name: str, target: Any, schema: Schema) -> None:
    """Put the rows of the small tree `name` of all `inputs` one after another."""
    parts = []
    titles: dict[str, str] = {}
    for path in inputs:
        with reading(str(path), f"holds a damaged tree {name}"), uproot.open({path: None}) as source:
            if name in source:
                parts.append(_columns(source[name]))
                titles = {branch.name: branch.title for branch in source[name].branches}
    if not parts:
        return
    rows: dict[str, Any] = {key: _end_to_end([part[key] for part in parts]) for key in parts[0]}
    texts = {key: column.tolist() for key, column in rows.items() if _is_text(column)}
    types = {key: "string" if key in texts else type_of(column) for key, column in rows.items()}
    tree = make_tree(target, name, types, titles, counter=schema.counter_dtype)
    tree.extend({**rows, **texts})


def _columns(tree: Any) -> dict[str, Any]:
    """All branches but the counters of lists, which come again with the lists."""
    lists = {key for key in tree.keys() if "[]" in str(tree[key].typename)}  # noqa: SIM118
    return {
        key: tree[key].array(library="ak" if key in lists else "np")
        for key in tree.keys()  # noqa: SIM118
        if key[1:] not in lists
    }


def _end_to_end(parts: Sequence[Any]) -> Any:
    return ak.concatenate(parts) if isinstance(parts[0], ak.Array) else np.concatenate(parts)


def _is_text(column: Any) -> bool:
    return not isinstance(column, ak.Array) and bool(column.dtype == object)


def _check_entries(merged: Path, expected: int) -> None:
    with _open(merged) as file:
        if file.n_entries != expected:
            raise StorageError(
                f"merging gave {file.n_entries} events where the inputs hold {expected}; merge again"
            )


@contextmanager
def _open(path: Path) -> Iterator[NanoFile]:
    """The file, for as long as it is needed; what is wrong with it is a `StorageError` here."""
    try:
        with NanoFile(str(path)) as file:
            yield file
    except InputError as error:
        raise StorageError(f"cannot merge: {error}") from error
