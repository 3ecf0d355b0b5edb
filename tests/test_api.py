"""The Python interface: the same events as the command line's, errors of one tree, a face that stays."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod import api
from flashsim_prod.api.requests import _warn
from flashsim_prod.errors import FlashSimError, InputError, JobsFailedError, RequestError, StateError
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"

#: 12 gen events x 5 in 3 simulate jobs and 1 merge job
SMALL: dict[str, Any] = {"events": 60, "oversample": 5, "seed": 42, "device": "cpu", "events_per_job": 20}

few = pytest.mark.filterwarnings("ignore:.*gen events .* times over")


# ---- the face


SIGNATURES = {
    "simulate": "(card_or_files: 'str | PathLike[str] | Sequence[str | PathLike[str]]', "
    "events: 'int | str | None' = None, oversample: 'int' = 1, bundle: 'str | None' = None, *, "
    "energy: 'float | None' = None, seed: 'int | None' = None, "
    "device: \"Literal['auto', 'cpu', 'cuda']\" = 'auto', events_per_job: 'int | str | None' = None, "
    "nano: 'str | None' = None, "
    "keep_unrefined: 'bool' = False) -> 'ak.Array'",
    "request": "(card: 'str | PathLike[str]', events: 'int | str | None' = None, oversample: 'int' = 1, "
    "bundle: 'str | None' = None, *, inputs: 'str | PathLike[str] | Sequence[str | PathLike[str]]' = (), "
    "energy: 'float | None' = None, seed: 'int | None' = None, "
    "device: \"Literal['auto', 'cpu', 'cuda']\" = 'auto', events_per_job: 'int | str | None' = None, "
    "name: 'str | None' = None, site: 'str | PathLike[str]' = 'local', "
    "catalog: \"Literal['local', 'rucio', 'none']\" = 'local', nano: 'str | None' = None, "
    "keep_unrefined: 'bool' = False) -> 'Dataset'",
    "events": "(name: 'str', files: 'int | str | Iterable[int] | None' = None, "
    "branches: 'str | Sequence[str] | None' = None, *, step: 'int | None' = None) -> 'Iterator[ak.Array]'",
    "dask_events": "(name: 'str', files: 'int | str | Iterable[int] | None' = None, "
    "branches: 'str | Sequence[str] | None' = None) -> 'DaskArray'",
    "status": "(name: 'str | None' = None) -> 'RequestStatus | tuple[RequestStatus, ...]'",
    "Dataset": "(request: 'str', name: 'str', files: 'tuple[str, ...]', events: 'int', gen_events: 'int', "
    "oversample: 'int', seed: 'int', events_per_job: 'int') -> None",
    "RequestStatus": "(request: 'str', name: 'str', state: 'str', percent: 'float', events: 'int', "
    "files: 'tuple[str, ...]') -> None",
}


def test_what_is_promised_is_this_and_no_more() -> None:
    assert sorted(api.__all__) == sorted([*SIGNATURES, "FlashSimError"])
    found = {name: str(inspect.signature(getattr(api, name))) for name in SIGNATURES}
    assert found == SIGNATURES


@pytest.mark.parametrize("name", ["simulate", "request", "events"])
def test_every_parameter_is_documented(name: str) -> None:
    function = getattr(api, name)
    sections = inspect.getdoc(function).split("Parameters\n")[1].split("Returns\n")[0]  # type: ignore[union-attr]
    lines = re.findall(r"^(\w[\w, ]*?)(?: :.*)?$", sections, flags=re.MULTILINE)
    documented = {one.strip() for line in lines for one in line.split(",")}
    assert documented == set(inspect.signature(function).parameters)


# ---- events, real ones


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv(VARIABLE, str(home))
        yield home


@pytest.fixture(scope="module")
def simulated(place: Path) -> ak.Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = api.simulate("ttbar", **SMALL)
    assert {path.name for path in place.rglob("*.root")} == set()
    assert not list((place / "requests").iterdir())
    return found


@pytest.fixture(scope="module")
def made(place: Path, simulated: ak.Array) -> api.Dataset:
    """The dataset of the same arguments, made after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return api.request("ttbar", **SMALL)


def _same(one: ak.Array, other: ak.Array) -> None:
    assert one.fields == other.fields
    for name in one.fields:
        assert one[name].type == other[name].type, name
        assert ak.array_equal(one[name], other[name], equal_nan=True), name


@pytest.mark.slow
def test_they_are_those_of_the_request_branch_by_branch(simulated: ak.Array, made: api.Dataset) -> None:
    (file,) = made.files
    assert len(simulated) == made.events == 60
    assert len(simulated.fields) > 400
    _same(simulated, uproot.open(file)["Events"].arrays())


@pytest.mark.slow
def test_what_was_made_says_how_to_make_it_again(simulated: ak.Array, made: api.Dataset) -> None:
    expected = {"seed": 42, "events_per_job": 20, "oversample": 5}
    assert {name: getattr(made, name) for name in expected} == expected
    assert {name: simulated.attrs[name] for name in expected} == expected
    assert (made.request, made.gen_events) == ("ttbar-001", 12)
    assert simulated.attrs["card"] == "ttbar"
    assert not {"dataset", "request"} & set(simulated.attrs)


@pytest.mark.slow
def test_the_split_decides_as_the_seed_does(simulated: ak.Array, place: Path) -> None:
    again = api.simulate("ttbar", **{**SMALL, "events": np.int64(20), "seed": np.int64(42)})  # type: ignore[arg-type]
    _same(simulated[:20], again)
    other = api.simulate("ttbar", **{**SMALL, "events": 20, "events_per_job": 10})
    # the first job begins alike, the second has a seed of its own
    assert other.GenMET_pt[:10].tolist() == simulated.GenMET_pt[:10].tolist()
    assert other.GenMET_pt[10:].tolist() != simulated.GenMET_pt[10:20].tolist()


@pytest.mark.slow
@few
def test_files_take_the_generators_place(made: api.Dataset, place: Path) -> None:
    options: dict[str, Any] = {"oversample": 2, "seed": 3, "device": "cpu"}
    (file,) = made.files
    found = api.simulate([Path(file)], 8, **options)
    same = api.request("ttbar", 8, inputs=file, **options)
    _same(found, uproot.open(same.files[0])["Events"].arrays())
    assert found.GenMET_pt[::2].tolist() == uproot.open(file)["Events"]["GenMET_pt"].array()[:4].tolist()


def test_advice_on_speed_is_no_warning(home: Home, recwarn: pytest.WarningsRecorder) -> None:
    order, _ = make_order(Typed(card="ttbar", events="101", oversample="2", device="cpu"))
    plan = preview(home, order, None)
    odd, pace = plan.notes
    assert plan.advice == (pace,)
    assert pace.startswith("the generator sets the pace")
    _warn(plan)
    assert odd in {str(one.message) for one in recwarn}
    assert pace not in {str(one.message) for one in recwarn}


@pytest.mark.slow
@few
def test_the_same_numbers_have_the_names_of_another_version(simulated: ak.Array, place: Path) -> None:
    with pytest.warns(UserWarning, match="NanoAOD v15 by models made for v9"):
        other = api.simulate("ttbar", **SMALL, nano="v15")
    assert other.PFMET_pt.tolist() == simulated.MET_pt.tolist()
    assert other.Muon_genPartIdx.tolist() == simulated.Muon_genPartIdx.tolist()
    assert "int16" in str(other.Muon_genPartIdx.type)
    assert not {"MET_pt", "Jet_jetId"} & set(other.fields)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
def test_nano_events_follow_the_links(simulated: ak.Array) -> None:
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
    from coffea.nanoevents.mapping import SimplePreloadedColumnSource

    columns = {name: simulated[name] for name in simulated.fields}
    source = SimplePreloadedColumnSource(columns, uuid.uuid4(), len(simulated), "/Events")
    nano = NanoEventsFactory.from_preloaded(source, schemaclass=NanoAODSchema).events()
    for found, index, targets in (
        (nano.Jet.matched_gen.pt, simulated.Jet_genJetIdx, simulated.GenJet_pt),
        (nano.Muon.matched_jet.pt, simulated.Muon_jetIdx, simulated.Jet_pt),
    ):
        expected = [
            [row[one] if 0 <= one < len(row) else None for one in links]
            for links, row in zip(index.tolist(), targets.tolist(), strict=True)
        ]
        assert found.tolist() == expected
        assert ak.any(index >= 0)
    assert nano.FlashSim.genEvent.tolist() == simulated.FlashSim_genEvent.tolist()


@pytest.mark.slow
def test_the_process_is_left_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.warns(UserWarning, match="1 gen event 2 times over"):
            events = api.simulate("ttbar", 2, 2, device="cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert 0 <= events.attrs["seed"] < 2**63
    assert not list(tmp_path.iterdir())


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"card_or_files": "ttbra", "events": 10}, RequestError, "ttbar"),
        ({"card_or_files": "ttbar"}, RequestError, "events"),
        ({"card_or_files": "ttbar", "events": "ten"}, RequestError, "'ten' is no number"),
        ({"card_or_files": "ttbar", "events": 10, "device": "tpu"}, RequestError, "'tpu' is none of auto"),
        ({"card_or_files": "ttbar", "events": 10, "seed": 1.5}, RequestError, "1.5 is no whole number"),
        ({"card_or_files": "ttbar", "events": 10, "seed": -1}, RequestError, "-1"),
        ({"card_or_files": "ttbar", "events": 10, "energy": 7.0}, RequestError, "13"),
        ({"card_or_files": "ttbar", "events": 10, "nano": "v8"}, RequestError, "no schema of NanoAOD 'v8'"),
        ({"card_or_files": [], "events": 10}, RequestError, "no files"),
        ({"card_or_files": "nowhere.root"}, InputError, "nowhere.root"),
        ({"card_or_files": "none/*.root"}, InputError, "no file matches"),
        ({"card_or_files": Path("none.yaml"), "events": 10}, RequestError, "none.yaml"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    home: Home, arguments: dict[str, Any], error: type[FlashSimError], says: str
) -> None:
    with pytest.raises(error) as caught:
        api.simulate(**arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(home.path.rglob("*.root"))


def test_a_site_elsewhere_is_refused(home: Home) -> None:
    with pytest.raises(RequestError, match="flashsim-prod request ttbar --site htcondor"):
        api.request("ttbar", 1000, site="htcondor")
    assert api.status() == ()


# ---- requests, without physics


def test_status_tells_of_requests(home: Home, fake_physics: ModuleType) -> None:
    first = api.request("ttbar", 100, device="cpu", name="first")
    second = api.request("dyjets", "200", catalog="none")
    assert [one.request for one in api.status()] == ["first", "dyjets-001"]
    told = api.status("first")
    assert told == api.RequestStatus("first", first.name, "DONE", 100.0, 100, first.files)
    assert Path(told.files[0]).is_file()
    assert second.events == 200
    with pytest.raises(RequestError, match="first"):
        api.status("frist")
    with pytest.raises(RequestError, match="exists already"):
        api.request("ttbar", 100, name="first")


def test_jobs_that_fail_are_an_error(
    home: Home, fake_physics: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    (tmp_path / "simulate_0").write_text("InputError", encoding="utf-8")
    with pytest.raises(JobsFailedError, match=r"request bad: 1 job failed: .*trouble in simulate 0"):
        api.request("ttbar", 100, name="bad")
    found = api.status("bad")
    assert (found.state, found.files) == ("FAILED", ())


def test_one_that_was_stopped_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from flashsim_prod.core.states import RequestState
    from flashsim_prod.production.context import Outcome
    from flashsim_prod.production.drive import foreground
    from flashsim_prod.production.order.folder import load_request

    def stopped(home: Home, name: str) -> Outcome:
        asked = load_request(home.folder(name).request)
        return Outcome(asked, RequestState.INTERRUPTED, files=(), stopped_by=2)

    monkeypatch.setattr(foreground, "drive", stopped)
    with pytest.raises(StateError, match="retry ttbar-001"):
        api.request("ttbar", 100)


# ---- examples


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "says"),
    [
        (
            "in_memory.py",
            r" 30 to  60 +\d+\.\d +\d+\.\d\n(.*\n)+jet pT over its generator jet's: [01]\.\d{3}",
        ),
        (
            "dataset.py",
            r"DYto2L.*: 100 events of 10 generator events\nrequest dyjets-001: DONE\n.*: 100 events",
        ),
    ],
)
def test_the_examples_run(example: str, says: str, tmp_path: Path) -> None:
    environment = {**os.environ, VARIABLE: str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example), "100"],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(says, done.stdout), done.stdout


@pytest.mark.slow
def test_the_example_of_a_virtual_dataset_runs(lacking: Callable[[str], None], tmp_path: Path) -> None:
    if not all(find_spec(name) for name in ("dask_awkward", "distributed", "coffea")):
        lacking("dask and coffea (pip install '.[test]')")
    environment = {**os.environ, VARIABLE: str(tmp_path / "home")}
    order = ("request", "ttbar", "--events", "40", "--oversample", "2", "--events-per-job", "20", "--virtual")
    for command in (
        ["-m", "flashsim_prod.cli", *order, "--name", "nowhere", "--device", "cpu"],
        [str(EXAMPLES / "virtual.py"), "nowhere"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert re.search(r" 30 to  60 +\d+\.\d(.*\n)+40 events of 2 jobs, none of them on a disk", done.stdout)
    assert not list(tmp_path.rglob("*.root"))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_the_page_shows_the_examples_as_they_are(example: Path) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"```python\n{example.read_text(encoding='utf-8')}```\n" in page
