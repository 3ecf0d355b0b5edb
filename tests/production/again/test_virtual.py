"""Virtual datasets: registered, nowhere on a disk, and event by event what their files would hold."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot

from flashsim_prod import api, software
from flashsim_prod.core.report import Accepted, JobReport, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import BundleError, FlashSimError, LockedError, RequestError, StateError
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.production.again.virtual import register_virtual
from flashsim_prod.production.dataset import register
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.job.run import write_report
from flashsim_prod.production.order.plan import Plan

ROOT = Path(__file__).parents[3]


def _container(home: Home, dataset: str) -> Any:
    with LocalCatalog(home.catalog) as catalog:
        return catalog.container(dataset)


# ---- registered, and made file by file, without physics


@pytest.fixture
def virtual(home: Home, placed: Callable[..., Plan], fake_physics: Any) -> str:
    """A virtual dataset of three files in two blocks; its name."""
    plan = placed(events=60, events_per_job=20, per_merge=1, virtual=True)
    register_virtual(home, plan.request.name)
    return str(plan.request.dataset)


def test_recipe_numbering_and_norms_are_registered_and_no_file(home: Home, virtual: str) -> None:
    found = _container(home, virtual)
    assert (found.files, found.events, found.blocks) == (0, 0, 0)
    assert found.metadata["seed"] == 1234
    assert found.metadata["recipe"] == {
        "files": 3,
        "events": 60,
        "events_per_file": 20,
        "run": 1,
        "first_event": 1,
        "cross_section_pb": None,
        "genEventCount": 60,
    }
    assert not list(home.path.rglob("*.root"))
    # once more is as once
    register_virtual(home, "toy-001")
    assert _container(home, virtual).metadata == found.metadata


def test_a_virtual_request_is_the_same_dataset(
    home: Home, placed: Callable[..., Plan], plan_of: Callable[..., Plan]
) -> None:
    """Whether files are made at once decides neither contents nor names."""
    one, other = (plan_of(virtual=kind).request for kind in (False, True))
    assert one.digest() == other.digest()
    assert "virtual" not in one.to_yaml()
    assert "virtual: true" in other.to_yaml()


def test_files_are_made_one_by_one(home: Home, virtual: str) -> None:
    name = "toy-001"
    made = drive(home, name, files=[1]).files
    assert [Path(file.pfn).is_file() for file in made] == [True]
    found = _container(home, virtual)
    assert (found.files, found.events, found.blocks, found.open_blocks) == (1, 20, 1, 1)
    with Ledger(home.ledger) as ledger:
        assert ledger.request(name).registered is None
    drive(home, name, files=[0])
    found = _container(home, virtual)
    # the first block is whole now
    assert (found.files, found.blocks, found.open_blocks) == (2, 1, 0)
    before = list(home.path.rglob("*.root"))
    assert drive(home, name, files=[0, 1]).state == "INTERRUPTED"
    assert list(home.path.rglob("*.root")) == before
    outcome = drive(home, name, files=[2])
    assert (outcome.state, len(outcome.files)) == ("DONE", 3)
    assert verify(home, virtual).problems == ()
    assert _container(home, virtual).metadata["recipe"]["files"] == 3


def test_what_was_made_in_parts_is_what_is_made_at_once(
    home: Home, virtual: str, placed: Callable[..., Plan]
) -> None:
    for index in (2, 0, 1):
        drive(home, "toy-001", files=[index])
    with Ledger(home.ledger) as ledger:
        parts = {row.output.lfn: row.output.sha256 for row in ledger.files("toy-001", "merge")}  # type: ignore[arg-type]
    # of the same recipe; only name and version in the paths are others
    plan = placed(events=60, events_per_job=20, per_merge=1)
    whole = [file.sha256 for file in drive(home, plan.request.name).files]
    assert sorted(parts.values()) == sorted(whole)


def test_what_grows_with_the_files_is_told_when_all_are_there(
    home: Home, virtual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What merging in the shower leaves is not known after some files; a catalogue takes no other number."""

    def left(folder: RequestFolder, request: Request) -> Accepted:
        done = len(list(folder.reports.glob("simulate_*.json")))
        return Accepted(tried=2 * done, accepted=done, sumw_tried=2.0 * done, sumw_accepted=done * 0.9**done)

    monkeypatch.setattr(register, "accepted_of", left)
    drive(home, "toy-001", files=[1])
    assert "gen_events_accepted" not in _container(home, virtual).metadata
    assert drive(home, "toy-001").state == "DONE"
    assert _container(home, virtual).metadata["gen_events_accepted"] == 3


def test_only_one_command_makes_files(home: Home, virtual: str) -> None:
    with request_lock(home.folder("toy-001").path), pytest.raises(LockedError):
        drive(home, "toy-001", files=[0])


# ---- events, real ones


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder with a virtual dataset of 3 jobs in 3 files, `lazy`."""
    folder = tmp_path_factory.mktemp("virtual")
    site = folder / "small.yaml"
    text = (ROOT / "site_configs" / "local.yaml").read_text(encoding="utf-8")
    site.write_text(text.replace("name: local", "name: small") + "\nmerge: {target_file_mb: 0.000001}\n")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv(VARIABLE, str(folder / "home"))
        told = _cli(
            *("request", "ttbar", "--events", "60", "--oversample", "2", "--seed", "5", "--device", "cpu"),
            *("--events-per-job", "20", "--site", str(site), "--name", "lazy", "--virtual", "--json"),
        )
        assert json.loads(told.stdout)["files"] == []
        yield folder


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def everything(place: Path) -> ak.Array:
    """All events of it, in memory; nothing of it lies anywhere."""
    found = ak.concatenate(list(api.events("lazy")))
    assert not list(place.rglob("*.root"))
    return found


@pytest.fixture(scope="module")
def files(place: Path, everything: ak.Array) -> list[str]:
    """Its files, made after."""
    told = json.loads(_cli("materialise", "lazy", "--json").stdout)
    return [file["pfn"] for file in told["files"]]


def _same(one: ak.Array, other: ak.Array) -> None:
    assert one.fields == other.fields
    for name in one.fields:
        assert one[name].type == other[name].type, name
        assert ak.array_equal(one[name], other[name], equal_nan=True), name


@pytest.mark.slow
def test_they_are_what_the_files_hold(everything: ak.Array, files: list[str]) -> None:
    assert len(everything) == 60
    _same(everything, ak.concatenate([uproot.open(file)["Events"].arrays() for file in files]))


@pytest.mark.slow
def test_some_branches_of_some_files_by_only_the_models_they_need(
    everything: ak.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flashsim_prod.production.again import events as of_datasets

    ran: list[str] = []
    run = Chain._run

    def told(self: Chain, models: Any, *arguments: Any) -> Any:
        ran.extend(one.model.produces for one in models)
        return run(self, models, *arguments)

    monkeypatch.setattr(Chain, "_run", told)
    of_datasets._producer.cache_clear()
    branches = ["event", "Jet_pt", "Jet_muon*", "nGenJet"]
    found = ak.concatenate(list(api.events("lazy", files=[2, 1], branches=branches, step=7)))
    expected = everything[20:]
    assert {"Jet_pt", "Jet_muonIdx1", "Jet_muonIdx2", "event", "nGenJet"} <= set(found.fields)
    _same(found, expected[found.fields])
    # the jets, what they see of the event, and the muons that they are linked to
    assert {"Jet", "Muon"} <= set(ran)
    assert not {"Electron", "Photon", "FatJet", "SubJet", "Tau", "SV"} & set(ran)
    ran.clear()
    (gen,) = api.events("lazy", files=0, branches="GenPart_p*")
    assert ran == []
    _same(gen, everything[:20][gen.fields])


@pytest.mark.slow
def test_an_array_of_dask_draws_what_an_analysis_needs(
    everything: ak.Array, lacking: Callable[[str], None], place: Path
) -> None:
    if importlib.util.find_spec("dask_awkward") is None:
        lacking("dask-awkward (pip install '.[dask]')")
    import dask_awkward as dak

    lazy = api.dask_events("lazy")
    assert lazy.npartitions == 3
    assert lazy.fields == everything.fields
    ht = ak.sum(lazy.Jet_pt[lazy.Jet_pt > 30], axis=1)
    assert list(dak.necessary_columns(ht).values()) == [frozenset({"Jet_pt"})]
    assert (
        ht.compute(scheduler="sync").tolist()
        == ak.sum(everything.Jet_pt[everything.Jet_pt > 30], axis=1).tolist()
    )
    assert ak.num(lazy, axis=0).compute(scheduler="sync") == 60
    # threads of one process take turns
    assert ht.compute(scheduler="threads").tolist() == ht.compute(scheduler="sync").tolist()
    assert api.dask_events("lazy", files="1-2", branches="MET_*").npartitions == 2


@pytest.mark.slow
def test_two_at_a_time_do_not_disturb_each_other(everything: ak.Array) -> None:
    names = ["event", "Jet_pt", "GenPart_pt"]
    pairs = zip(
        api.events("lazy", files=0, branches=names, step=4),
        api.events("lazy", files=1, branches=names, step=4),
        strict=True,
    )
    first, second = (ak.concatenate(parts) for parts in zip(*pairs, strict=True))
    _same(first, everything[:20][first.fields])
    _same(second, everything[20:40][second.fields])


@pytest.mark.slow
def test_files_of_some_branches(everything: ak.Array, place: Path) -> None:
    told = json.loads(
        _cli("materialise", "lazy", "--files", "1", "--branches", "Jet_pt,MET_*", "--json").stdout
    )
    (file,) = [one["path"] for one in told["files"]]
    assert file.startswith(str(place / "home" / "slim" / "lazy"))
    with uproot.open(file) as opened:
        found = opened["Events"].arrays()
        assert opened["Runs"]["genEventCount"].array().tolist() == [20]
    assert {"event", "genWeight", "FlashSim_genEvent", "nJet", "Jet_pt", "MET_pt"} <= set(found.fields)
    assert "Jet_eta" not in found.fields
    _same(found, everything[20:40][found.fields])
    before = Path(file).stat().st_mtime_ns
    _cli("materialise", "lazy", "--files", "1", "--branches", "Jet_pt,MET_*")
    assert Path(file).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"files": 3}, "no file 3"),
        ({"files": "2-x"}, "is no number"),
        ({"files": []}, "none are named"),
        ({"files": [0.5]}, "no numbers of files"),
        ({"branches": "Jet_tp"}, "no branch 'Jet_tp'.*Jet_pt"),
        ({"branches": ["Jet_pt", "Nothing_*"]}, r"no branch 'Nothing_\*'"),
        ({"branches": []}, "none are named"),
        ({"step": 0}, "no number of events"),
        ({"name": "lzay"}, "no request 'lzay'"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(place: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says) as told:
        api.events(**{"name": "lazy", **arguments})
    assert "\n" not in str(told.value)


def test_other_software_or_another_bundle_is_refused(
    home: Home, placed: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(events=60, virtual=True)
    chunks = api.events("toy-001")
    with pytest.raises(BundleError, match="bound to"):
        next(chunks)
    with monkeypatch.context() as patch:
        patch.setattr(software, "code_digest", lambda: "0" * 12)
        for call in (api.events, api.dask_events):
            with pytest.raises(StateError, match=r"placed with code .* has code 000000000000"):
                call("toy-001")
    monkeypatch.setattr(software, "__version__", "99.0")
    for call in (api.events, api.dask_events):
        with pytest.raises(StateError, match=r"placed with flashsim-prod .* this is 99\.0"):
            call("toy-001")


@pytest.mark.parametrize(
    ("device", "says"), [("cpu", None), ("NVIDIA A100", "made on NVIDIA A100.*drawn on cpu")]
)
def test_another_kind_of_device_is_told(
    home: Home, placed: Callable[..., Plan], device: str, says: str | None
) -> None:
    request = placed(events=60, virtual=True, device="cpu").request
    now = datetime.now(UTC)
    output = OutputFile(lfn="/l", pfn="/l", bytes=1, events=1, adler32="0" * 8, sha256="0" * 64, lumis=())
    report = JobReport(
        request=request.name,
        request_digest=request.digest(),
        stage=Stage.SIMULATE,
        index=0,
        exit_code=0,
        started=now,
        ended=now,
        host="h",
        device=device,
        software_version="0",
        output=output,
    )
    with warnings.catch_warnings(record=True) as none_yet:
        api.events(request.name)
    write_report(home.folder(request.name).report(Stage.SIMULATE, 0), report)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        api.events(request.name)
    assert not none_yet
    assert len(told) == (says is not None)
    assert all(re.search(str(says), str(one.message)) for one in told)


def test_a_branch_that_is_not_made_is_told(place: Path) -> None:
    """NanoAOD has it, the bundle does not make it."""
    with pytest.raises(FlashSimError, match=r"no branch 'HTXS|no branch 'Tau_idDecayMode"):
        next(api.events("lazy", branches=["HTXS_Higgs_pt"]))
    assert os.environ[VARIABLE]
