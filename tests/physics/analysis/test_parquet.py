"""Ntuples as parquet: what ROOT has of them, bit by bit, and files that are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import uproot
from pyarrow import parquet

from flashsim_prod.core.analyses.ntuple import ANALYSIS, Column, Ntuple
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.physics.analysis.parquet import as_root, write_parquet
from flashsim_prod.physics.analysis.schemas import flat_schema, schema_in
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.checks import NORMALISATION, FileSummary, check_file
from flashsim_prod.physics.nanoaod.content import different_branches
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.runs import RunSums
from flashsim_prod.physics.nanoaod.writer import NanoWriter

NTUPLE = Ntuple(
    name="z",
    columns=(
        Column(name="m_ll", title="mass of the two muons [GeV]"),
        Column(name="n_jets", type="int", title="number of jets"),
    ),
)
SCHEMA = flat_schema(NTUPLE)
ABOUT = {"dataset": "/Z/E-S-v1/NTUPLE", ANALYSIS: NTUPLE.model_dump_json(), NORMALISATION: "of all tried"}
SUMS = RunSums(1000, 999.5, 1000.25)


def _events(n: int, first: int) -> Events:
    rng = np.random.default_rng(first)
    numbers = np.arange(first, first + n)
    return Events(
        n,
        {
            "run": np.ones(n, np.uint32),
            "luminosityBlock": (numbers // 10 + 1).astype(np.uint32),
            "event": (numbers + 1).astype(np.uint64),
            "genWeight": np.ones(n, np.float32),
            "FlashSim_genEvent": numbers.astype(np.int64),
            "FlashSim_fold": np.zeros(n, np.int32),
            "FlashSim_oversample": np.full(n, 3, np.int32),
            "m_ll": rng.normal(91, 3, n).astype(np.float32),
            "n_jets": rng.integers(0, 5, n).astype(np.int32),
        },
    )


def _merged(folder: Path, sizes: tuple[int, ...]) -> Path:
    """A file of ROOT, joined of one for each size."""
    paths = []
    for number, n in enumerate(sizes):
        paths.append(folder / f"{number}.root")
        with NanoWriter(paths[-1], schema=SCHEMA, provenance=ABOUT, runs=[SUMS]) as file:
            if n:
                file.write(_events(n, 100 * number))
            else:
                file.describe(_events(1, 100 * number))
    merge_files(paths, folder / "merged.root", schema=SCHEMA)
    return folder / "merged.root"


def _check(path: Path) -> FileSummary:
    with as_root(str(path)) as there:
        return check_file(
            there, schema=schema_in(there), runs=[SUMS, SUMS], name=str(path), may_be_empty=True
        )


@pytest.mark.parametrize("sizes", [(40, 25), (40, 0), (0, 0)])
def test_it_holds_what_root_holds(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    root, path = _merged(tmp_path, sizes), tmp_path / "z.parquet"
    write_parquet(root, path, schema=SCHEMA)
    table = parquet.read_table(path)
    with uproot.open(root) as file:
        events, runs, lumis, about = (
            file[name].arrays(library="np") for name in ("Events", "Runs", "LuminosityBlocks", "MetaData")
        )
    assert table.column_names == list(events)
    for name, column in events.items():
        found = table[name].to_numpy()
        assert (found.dtype, found.tobytes()) == (column.dtype, column.tobytes()), name
    assert table.schema.field("m_ll").metadata == {b"title": b"mass of the two muons [GeV]"}
    told = json.loads(table.schema.metadata[b"flashsim_prod"])
    for name, columns in (("Runs", runs), ("LuminosityBlocks", lumis), ("MetaData", about)):
        assert told[name] == {key: column.tolist() for key, column in columns.items()}
    assert told["Runs"]["genEventSumw"] == [999.5, 999.5]
    # and the other way round
    with as_root(str(path)) as there:
        assert different_branches(str(root), there) == []
    assert _check(path) == check_file(root, schema=SCHEMA, runs=[SUMS, SUMS], may_be_empty=True)
    again = tmp_path / "again.parquet"
    write_parquet(root, again, schema=SCHEMA)
    assert again.read_bytes() == path.read_bytes()


def test_files_of_root_are_left_as_they_are() -> None:
    with as_root("https://example.org/x.root") as there:
        assert there == "https://example.org/x.root"
    with (
        pytest.raises(InputError, match=r"are read from disks, and by .*; copy it here"),
        as_root("s3://example.org/x.parquet"),
    ):
        pass


def test_files_behind_a_server_are_as_on_a_disk(tmp_path: Path, at_http: Callable[[Path], str]) -> None:
    root, path = _merged(tmp_path, (40, 25)), tmp_path / "z.parquet"
    write_parquet(root, path, schema=SCHEMA)
    with as_root(at_http(path)) as there:
        assert different_branches(str(root), there) == []
    path.write_bytes(path.read_bytes()[:-9])
    for url, told in ((at_http(path), "cannot be read as parquet"), (at_http(tmp_path / "gone.parquet"), "")):
        with pytest.raises(InputError, match=f"^{url}.*{told}"), as_root(url):
            pass


def _with(table: Any, name: str, values: Any) -> Any:
    return table.set_column(table.column_names.index(name), name, values)


def test_damaged_files(tmp_path: Path) -> None:
    write_parquet(_merged(tmp_path, (40, 25)), tmp_path / "z.parquet", schema=SCHEMA)
    table, path = parquet.read_table(tmp_path / "z.parquet"), tmp_path / "damaged.parquet"
    n = len(table)
    about = json.loads(table.schema.metadata[b"flashsim_prod"])
    about["Runs"]["genEventCount"] = [1000, 999]
    cases = (
        (table.replace_schema_metadata({}), InputError, "is no ntuple of flashsim-prod"),
        (table.replace_schema_metadata({b"flashsim_prod": b"{"}), InputError, "its metadata is damaged"),
        (
            table.replace_schema_metadata({b"flashsim_prod": json.dumps(about).encode()}),
            EventsError,
            "sum of genEventCount in Runs",
        ),
        (pa.concat_tables([table, table]), EventsError, "occur twice"),
        (table.slice(30, 20), EventsError, "LuminosityBlocks"),
        (table.append_column("more", pa.array([1.0] * n)), EventsError, "unknown branch 'more'"),
        (table.append_column("text", pa.array(["a"] * n)), InputError, "'text' holds no plain numbers"),
        (_with(table, "m_ll", pa.array([np.nan] * n, pa.float32())), EventsError, "m_ll"),
        (_with(table, "m_ll", pa.array([None] * n, pa.float32())), InputError, "'m_ll' has missing values"),
    )
    for changed, kind, problem in cases:
        parquet.write_table(changed, path)
        with pytest.raises(kind, match=problem) as raised:
            _check(path)
        assert "\n" not in str(raised.value)
        assert str(path) in str(raised.value)
    path.write_bytes((tmp_path / "z.parquet").read_bytes()[:-30])
    with pytest.raises(InputError, match="cannot be read as parquet"):
        _check(path)
    with pytest.raises(InputError, match=r"gone\.parquet does not exist"):
        _check(tmp_path / "gone.parquet")
