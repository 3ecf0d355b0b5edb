"""Real events: what is made again is compared value by value where its bytes cannot be the same."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod import api
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import BundleError
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.production.again.recover import Recovery, Ways, recover
from flashsim_prod.production.again.subject import chosen_files, find_subject
from flashsim_prod.production.home import VARIABLE, Home, open_home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a state folder with a dataset of two files is made and kept."""
    folder = tmp_path_factory.mktemp("kept")
    site = folder / "small.yaml"
    text = (ROOT / "site_configs" / "local.yaml").read_text(encoding="utf-8")
    site.write_text(text.replace("name: local", "name: small") + "\nmerge: {target_file_mb: 0.000001}\n")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv(VARIABLE, str(folder / "home"))
        api.request("ttbar", 40, 2, seed=5, device="cpu", events_per_job=20, site=site, name="two")
    shutil.copytree(folder / "home", folder / "copy")
    return folder


@pytest.fixture
def home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The state folder as it was when its dataset was made."""
    shutil.rmtree(kept / "home")
    shutil.copytree(kept / "copy", kept / "home")
    monkeypatch.setenv(VARIABLE, str(kept / "home"))
    return open_home()


def _files(home: Home) -> list[Path]:
    with Ledger(home.ledger) as ledger:
        return [Path(row.output.pfn) for row in ledger.files("two", Stage.MERGE)]


def _recover(home: Home, **ways: Any) -> Recovery:
    subject = find_subject(home, "two")
    return recover(subject, chosen_files(subject.request, ()), Ways(slots=1, **ways))


def _written_otherwise(home: Home, change: Callable[[Events], Events] = lambda events: events) -> None:
    """The dataset as older software wrote it: other bytes, and reports that tell no values."""
    files = _files(home)
    with LocalCatalog(home.catalog) as catalog, Ledger(home.ledger) as ledger:
        dataset = str(ledger.request("two").dataset)
        entries = {entry.lfn.rsplit("/", 1)[1]: entry for entry in catalog.files(dataset)}
        for index, path in enumerate(files):
            with NanoFile(str(path)) as file:
                known = [name for name in sorted(file.branches) if name in Schema.default().branches]
                events = file.read(known, 0, file.n_entries)
            with NanoWriter(path, schema=Schema.default(), provenance={}, compression="zlib-1") as writer:
                writer.write(change(events))
            sums, entry = file_checksums(path), entries[path.name]
            told = CatalogFile(
                entry.lfn, str(path), sums.bytes, entry.events, sums.adler32, sums.sha256, entry.lumis
            )
            catalog.repair(entry.block, told, "LOCAL")
            ledger.replace_file("two", Stage.MERGE, index, sums.bytes, sums.adler32, sums.sha256)
            report = home.folder("two").report(Stage.MERGE, index)
            text = json.loads(report.read_text())
            text |= {"content": None}
            text["output"] |= {"bytes": sums.bytes, "adler32": sums.adler32, "sha256": sums.sha256}
            report.write_text(json.dumps(text))


def test_the_same_software_makes_the_same_bytes(home: Home) -> None:
    first, _ = _files(home)
    was = first.read_bytes()
    contents = bytearray(was)
    contents[5000] ^= 4
    first.write_bytes(contents)
    (one,) = _recover(home).files
    assert (one.lost.why, one.proof) == ("checksum", "bytes")
    assert first.read_bytes() == was
    report = json.loads(home.folder("two").report(Stage.MERGE, 1).read_text())
    assert {"Jet", "Muon", "MET", "GenPart"} <= report["content"].keys()


def test_a_sound_file_is_the_witness_of_old_ones(home: Home) -> None:
    _written_otherwise(home)
    first, second = _files(home)
    first.unlink()
    before = second.stat().st_mtime_ns
    (one,) = _recover(home).files
    assert (one.lost.index, one.proof, one.refused) == (0, "witness", "")
    assert second.stat().st_mtime_ns == before
    assert _recover(home).files == ()


def test_what_differs_is_named_and_refused(home: Home) -> None:
    def change(events: Events) -> Events:
        jets = events["Jet"]
        return events.with_collections({"Jet": jets.with_columns(mass=jets["mass"] * np.float32(2))})

    _written_otherwise(home, change)
    first, _ = _files(home)
    first.unlink()
    found = _recover(home)
    assert "makes other values of Jet_mass than a sound file" in found.files[0].refused
    assert not first.exists()


def test_another_bundle_is_compared(home: Home, tmp_path: Path) -> None:
    """Its words are others, its weights are the same: so are the values, and the bytes cannot be."""
    shipped = ROOT / "flashsim_prod" / "bundles" / "reference"
    shutil.copytree(shipped, tmp_path / "other")
    manifest = tmp_path / "other" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["title"] += " once more"
    manifest.write_text(json.dumps(told))
    _, second = _files(home)
    second.unlink()
    (one,) = _recover(home, bundle=str(tmp_path / "other")).files
    assert (one.lost.index, one.proof, one.refused) == (1, "values", "")
    with NanoFile(str(second)) as file:
        assert file.n_entries == 20
    # where nothing tells the lost file's own values, another file's do not speak for another bundle
    _written_otherwise(home)
    second.unlink()
    (one,) = _recover(home, bundle=str(tmp_path / "other")).files
    assert (one.proof, second.exists()) == (None, False)
    assert "made by another bundle" in one.refused
    with pytest.raises(BundleError, match="nowhere"):
        _recover(home, bundle=str(tmp_path / "nowhere"))
