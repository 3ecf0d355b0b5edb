"""Flat ntuples as parquet: made of checked ROOT files, and read as these.

The branches are columns with their titles; what ROOT has in the trees Runs, LuminosityBlocks and MetaData is
JSON in the file's metadata, under `KEY`. Whatever looks at files of ROOT looks at these by `as_root`, so that
all checks are the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import uproot

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.errors import ConfigError, EventsError, InputError, NodeError
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading
from flashsim_prod.physics.nanoaod.schema import Branch, Schema
from flashsim_prod.physics.nanoaod.stamps import fixed_times
from flashsim_prod.physics.nanoaod.trees import EventTree, make_tree, storing
from flashsim_prod.physics.streams.served import is_url, served

#: where the metadata of a file has what is not of single events
KEY = b"flashsim_prod"
_TITLE = b"title"
_TREES = ("Runs", "LuminosityBlocks", "MetaData")
#: rows that are compressed together
_ROWS = 100_000
_INSTALL = "pip install 'flashsim-prod[parquet]'"


def refuse_without_library() -> None:
    """`ConfigError` if what writes parquet is not installed here; nothing is loaded."""
    if find_spec("pyarrow") is None:
        raise ConfigError(f"--format parquet needs pyarrow: {_INSTALL}")


def is_parquet(url: str) -> bool:
    """Whether a file is called as such files are."""
    return url.endswith(f".{FileFormat.PARQUET}")


def write_parquet(source: Path, target: Path, *, schema: Schema) -> None:
    """Write what the ROOT file `source` holds as parquet, read it back, and compare all of it.

    The same contents and version of pyarrow give the same bytes.

    Raises
    ------
    NodeError
        If pyarrow is not installed on this node.
    EventsError
        If what is read back is not what was to be written.
    StorageError, NoSpaceError
        If it cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise NodeError(f"files of parquet need pyarrow on the node that merges: {_INSTALL}") from error

    with NanoFile(str(source)) as file, storing(target):
        names = list(schema.in_order(file.branches))
        about = _summaries(file)
        fields = [
            pa.field(
                name,
                pa.from_numpy_dtype(schema.branch(name).dtype),
                nullable=False,
                metadata={_TITLE: schema.branch(name).title.encode()},
            )
            for name in names
        ]
        form = pa.schema(fields, metadata={KEY: json.dumps(about).encode()})
        # numbers that hardly repeat make dictionaries longer than themselves
        repeating = [name for name in names if schema.branch(name).dtype.kind != "f"]
        with parquet.ParquetWriter(target, form, compression="zstd", use_dictionary=repeating) as writer:
            for start in range(0, max(1, file.n_entries), _ROWS):
                events = file.read(names, start, start + _ROWS)
                writer.write_table(pa.table({name: events.scalars[name] for name in names}, schema=form))
        _compare(file, names, about, target)


def _summaries(file: NanoFile) -> dict[str, dict[str, list[Any]]]:
    """The small trees, column by column."""
    found = {}
    for name in _TREES:
        tree = file.tree(name)
        if tree is not None:
            with reading(file.url, f"has a damaged tree '{name}'"):
                columns = tree.arrays(library="np")
            found[name] = {key: column.tolist() for key, column in columns.items()}
    return found


def _compare(file: NanoFile, names: Sequence[str], about: Mapping[str, Any], path: Path) -> None:
    with _opened(path, str(path)) as (form, groups):
        if _told(form, str(path)) != about:
            raise EventsError(f"{path}: other sums were read back than were written")
        start = 0
        for events in groups:
            there = file.read(names, start, start + events.n)
            start += events.n
            for name in names:
                if events.scalars[name].tobytes() != there.scalars[name].tobytes():
                    raise EventsError(f"{path}: other values of {name} were read back than were written")
    if start != file.n_entries:
        raise EventsError(f"{path}: {start} events were read back, {file.n_entries} were written")


@contextmanager
def as_root(url: str) -> Iterator[str]:
    """`url` itself, or, of a file of parquet, a ROOT file with its contents for as long as it is needed.

    Raises
    ------
    InputError
        If it is parquet, and is not there, damaged, or no ntuple that was written here.
    StorageError
        If it is behind a server that cannot be reached, or breaks off.
    """
    if not is_parquet(url):
        yield url
        return
    source = url.removeprefix("file://")
    with TemporaryDirectory(prefix="flashsim_ntuple_") as folder:
        path = Path(folder) / "ntuple.root"
        with storing(path):
            if is_url(source):
                # parquet is read from its end, and servers are read from their beginning
                copy = Path(folder) / "ntuple.parquet"
                with served(source) as stream, copy.open("wb") as file:
                    shutil.copyfileobj(stream, file)
                _write_root(copy, source, path)
            else:
                _write_root(Path(source), source, path)
        yield str(path)


def _write_root(path: Path, source: str, target: Path) -> None:
    """Write what is in the file of parquet at `path`, known as `source`, to `target`."""
    with (
        _opened(path, source) as (form, groups),
        fixed_times(),
        uproot.create(target, compression=None) as file,
    ):
        about = _told(form, source)
        tree = EventTree(file, source, _schema_of(form, source))
        for events in groups:
            tree.add(events)
        if tree.is_empty:
            tree.add(Events(0, {one.name: np.zeros(0, one.type.to_pandas_dtype()) for one in form}))
        tree.finish()
        for name, columns in about.items():
            rows = {key: _column(key, values) for key, values in columns.items()}
            types = {key: "string" if isinstance(one, list) else str(one.dtype) for key, one in rows.items()}
            make_tree(file, name, types, {}).extend(rows)


def _column(name: str, values: Sequence[Any]) -> Any:
    """A column of a small tree, of the type that its name or its values have; texts stay a list."""
    if name in {"run", "luminosityBlock"}:
        return np.array(values, dtype=np.uint32)
    if values and isinstance(values[0], str):
        return list(values)
    return np.array(values, dtype=np.int64 if name == "genEventCount" else np.float64)


def _schema_of(form: Any, where: str) -> Schema:
    """The branches that the file has, whatever its ntuple should have: checks compare the two."""
    branches = {}
    for one in form:
        kind = np.dtype(one.type.to_pandas_dtype())
        if kind.kind not in "iuf":
            raise InputError(f"{where}: its column '{one.name}' holds no plain numbers")
        title = (one.metadata or {}).get(_TITLE, b"").decode(errors="replace")
        branches[one.name] = Branch(one.name, None, kind, title)
    return Schema("of a file of parquet", MappingProxyType(branches), MappingProxyType({}))


def _told(form: Any, where: str) -> dict[str, dict[str, list[Any]]]:
    """What the file's metadata has in the place of small trees."""
    try:
        found = json.loads((form.metadata or {})[KEY])
        columns = {name: dict(found[name]) for name in _TREES if name in found}
        lists = [one for tree in columns.values() for one in tree.values()]
        if "Runs" not in columns or not all(isinstance(one, list) for one in lists):
            raise ValueError
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where}: is no ntuple of flashsim-prod, or its metadata is damaged") from error
    return columns


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[Any, Iterator[Events]]]:
    """The schema of a file, which errors call by its `name`, and its events group by group."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"{name}: is read by pyarrow: {_INSTALL}") from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file.schema_arrow, _groups(file, name)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; check the path") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} cannot be read as parquet: {str(error).splitlines()[0]}") from error


def _groups(file: Any, path: str) -> Iterator[Events]:
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        columns: dict[str, Column] = {}
        for name in table.column_names:
            if table[name].null_count:
                raise InputError(f"{path}: its column '{name}' has missing values")
            columns[name] = table[name].to_numpy()
        yield Events(table.num_rows, columns)
