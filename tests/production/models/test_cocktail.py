"""From records of a stand-in to a tagged bundle, and what is refused on the way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uproot

from flashsim_prod.cli.main import main
from flashsim_prod.core.names import check_primary
from flashsim_prod.errors import ConfigError, InputError, RequestError
from flashsim_prod.physics.eras import ERAS
from flashsim_prod.physics.training import fit
from flashsim_prod.production.home import Home
from flashsim_prod.production.models.drawing import is_drawn
from flashsim_prod.production.models.opendata.cocktail import COCKTAILS, find_cocktail
from flashsim_prod.production.models.opendata.records import Where, fetch, located
from flashsim_prod.production.models.samples import extract_tables, generate_sample, reconstruct_sample

CAMPAIGN = "RunIISummer20UL16NanoAODv9-106X_mcRun2_asymptotic_v17-v1"
COCKTAIL = """
name: mine
title: two processes of a stand-in
era: UL16postVFP
tag: MineUL16
events: 40
base: reference
processes:
  - {name: tt, fraction: 0.75, record: 1}
  - {name: dy, fraction: 0.25, dataset: /DY/CAMPAIGN/NANOAODSIM}
""".replace("CAMPAIGN", CAMPAIGN)


def quiet(*_: object) -> None:
    pass


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    made = []
    for seed, name in enumerate(("one", "two", "three"), 1):
        gen = folder / f"gen_{name}.root"
        generate_sample("ttbar", gen, events=10, energy_tev=None, seed=seed, progress=quiet)
        made.append(folder / f"{name}.root")
        reconstruct_sample([str(gen)], made[-1], folds=2, seed=seed, progress=quiet)
    return made


@pytest.fixture
def standin(files: list[Path], monkeypatch: pytest.MonkeyPatch, home: Home) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    import opendata_portal

    with opendata_portal.serve() as served:
        served.add(1, f"/TT/{CAMPAIGN}/NANOAODSIM", files[:2])
        served.add(2, f"/DY/{CAMPAIGN}/NANOAODSIM", files[2:])
        yield served


@pytest.mark.slow
def test_a_cocktail_becomes_a_tagged_bundle(
    standin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit, "LEAST_OBJECTS", 150)
    (tmp_path / "mine.yaml").write_text(COCKTAIL)
    words = [
        "train",
        "all",
        "--cocktail",
        str(tmp_path / "mine.yaml"),
        "--work",
        str(tmp_path / "work"),
        "--quick",
    ]
    words += ["--steps", "100", "--server", standin.url, "--protocol", "http", "--json"]
    assert code_of(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == 40
    assert "jet_from_genjet" in told["own_models"]
    assert set(told["energy"]) == set(told["own_models"])
    manifest = json.loads((tmp_path / "work" / "bundle" / "manifest.json").read_text())
    assert (manifest["name"], manifest["tag"]) == ("mine", "MineUL16")
    assert manifest["title"] == "two processes of a stand-in; 24 models of reference"
    assert manifest["training_sample"][:3] == [
        "cocktail mine, era UL16postVFP",
        "tt: 30 events of record 1",
        f"dy: 10 events of /DY/{CAMPAIGN}/NANOAODSIM",
    ]
    # a bundle that is there is never overwritten, and nothing is drawn for it
    asked = len(standin.asked)
    assert code_of(words) == 11
    assert len(standin.asked) == asked


def test_files_of_a_record_are_fetched_and_then_found(standin: Any, home: Home) -> None:
    where = Where(standin.url, "http")
    urls = [one.url for one in located(["opendata:1"], where)]
    assert all(url.startswith("http://") for url in urls)
    made = fetch("1", 15, where, progress=quiet)
    assert (made.events, len(made.files), made.recid) == (20, 1, 1)
    assert [(one.url, one.events) for one in located(["opendata:1:25"], where)] == [
        (str(made.files[0]), 20),
        (urls[1], 5),
    ]
    with pytest.raises(InputError, match="opendata:1:1k has 40 events, and 1,000 are wanted; ask for fewer"):
        located(["opendata:1:1k"], where)
    with pytest.raises(RequestError, match="more than --cache-limit 1KB"):
        fetch("1", None, Where(standin.url, "http", cache_limit="1KB"), progress=quiet)


@pytest.fixture
def no_events(tmp_path: Path) -> Path:
    """A file that is whole and holds no events."""
    path = tmp_path / "none.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"event": "uint64", "Jet_pt": "var * float32"})
    return path


def test_a_file_without_events_in_a_record_is_noted_and_the_others_are_drawn(
    standin: Any,
    files: list[Path],
    no_events: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standin.add(3, f"/SKIM/{CAMPAIGN}/NANOAODSIM", [no_events, files[0]])
    work = tmp_path / "work"
    words = ["train", "extract", "opendata:3", "--work", str(work), "--without", "[!m]*"]
    words += ["--without", "mu*", "--server", standin.url, "--protocol", "http", "--json"]
    for _ in range(2):
        assert code_of(words) == 0
        told = capsys.readouterr()
        assert "none.root: holds no events, so there is nothing to draw from it" in told.err
        assert json.loads(told.out)["met"]["objects"] == 20
        standin.asked.clear()
    # a job for it has nothing left to do
    (portion, _) = located(["opendata:3"], Where(standin.url, "http"))
    assert is_drawn(replace(portion, without=("[!m]*", "mu*")), work / "tables")
    # alone, there is nothing to go on with; what takes its place is another file
    shutil.copy(no_events, tmp_path / "later.root")
    assert code_of(["train", "extract", str(tmp_path / "later.root"), "--work", str(work)]) == 10
    assert "later.root holds no events; give other files" in capsys.readouterr().err
    shutil.copy(files[1], tmp_path / "later.root")
    assert extract_tables([str(tmp_path / "later.root")], work, ["met"], progress=quiet).events == 20
    assert extract_tables([str(tmp_path / "later.root")], work, [], progress=quiet).events == 20


def test_how_many_events_of_a_record_is_said_once(standin: Any) -> None:
    with pytest.raises(RequestError, match="opendata:1:25 and --first both say how many events: choose one"):
        located(["opendata:1:25"], Where(standin.url, "http"), first=10)


def test_an_era_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(COCKTAIL.replace("UL16postVFP", "UL15"))
    with pytest.raises(ConfigError, match="unknown era 'UL15'"):
        find_cocktail(str(path))
    with pytest.raises(RequestError, match="no cocktail 'cms_ul61'; did you mean 'cms_ul16'"):
        find_cocktail("cms_ul61")


@pytest.mark.parametrize("name", COCKTAILS.names())
def test_shipped_cocktails(name: str) -> None:
    found = find_cocktail(name)
    assert found.era in ERAS
    for one in found.processes:
        assert one.dataset is not None
        check_primary(one.dataset.split("/")[1])
        assert one.record is not None
        assert re.search(CAMPAIGN.removesuffix("v17-v1") + r"v17-v\d/", one.dataset)
