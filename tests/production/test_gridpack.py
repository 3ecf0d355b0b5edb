"""From a gridpack to a dataset: run in the job, with the job's seed; what is wrong is told in a line."""

from __future__ import annotations

import http.server
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import ConfigError, InputError, NodeError, RequestError, StorageError
from flashsim_prod.physics.generator.kinds import find_kind
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.library import find_card
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview
from tests.gridpacks import write_gridpack


def _card_file(folder: Path, gridpack: object, *, tev: float = 13, **more: Any) -> Path:
    path = folder / "zpack.yaml"
    card = {
        "name": "zpack",
        "title": "Z to muons of a gridpack",
        "primary": "ZPack_{energy}_madgraph-pythia8",
        "energies": [{"tev": tev, "pileup": "Run2_2018"}],
        "settings": ["PartonLevel:MPI = off"],
        "gridpack": str(gridpack),
        **more,
    }
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path


def _request(home: Home, card: Path, **options: Any) -> Request:
    typed = {"events": "6", "oversample": 2, "events_per_job": "4", "seed": 9, "device": "cpu", **options}
    return preview(home, make_order(Typed(card=str(card), **typed))[0], None).request


def _job_events(request: Request, index: int, locate: Any = str) -> Any:
    job = simulate_job(request, index)
    return list(find_kind("gridpack").open(request.source, request, job, locate).chunks(100))


@pytest.mark.slow
def test_a_dataset_of_a_gridpack(home: Home, tmp_path: Path) -> None:
    card = _card_file(tmp_path, write_gridpack(tmp_path))
    options = ["--events", "6", "--oversample", "2", "--events-per-job", "4", "--seed", "9", "--json"]
    done = CliRunner().invoke(app, ["request", str(card), *options])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert (made["state"], made["events"]) == ("DONE", 6)
    assert made["dataset"].startswith("/ZPack_13TeV_madgraph-pythia8/")
    with uproot.open(made["files"][0]["pfn"]) as opened:
        events = opened["Events"].arrays()
        about = {name: str(opened["MetaData"][name].array()[0]) for name in opened["MetaData"].keys()}  # noqa: SIM118
    assert events.event.tolist() == [1, 2, 3, 4, 5, 6]
    assert events.FlashSim_genEvent.tolist() == [0, 0, 1, 1, 2, 2]
    assert set(ak.flatten(events.LHEPart_pdgId[events.LHEPart_status == 1]).tolist()) == {13, -13}
    assert "gridpack z.tar.xz (sha256 " in about["generator"]
    # two jobs, two seeds: no event comes twice
    assert len(set(ak.firsts(events.LHEPart_incomingpz).tolist())) == 3
    assert not list(home.path.rglob("*gridpack*"))
    assert not list(home.path.rglob("runcmsgrid*"))


def test_a_job_makes_the_same_events_again(home: Home, tmp_path: Path) -> None:
    request = _request(home, _card_file(tmp_path, write_gridpack(tmp_path)))
    again = Request.from_yaml(request.to_yaml(), "it")
    assert (again.digest(), again.source) == (request.digest(), request.source)
    (one,), (two,), (other,) = (_job_events(request, index) for index in (0, 0, 1))
    for name, column in one.scalars.items():
        np.testing.assert_array_equal(column, two.scalars[name], name)
    np.testing.assert_array_equal(one["GenPart"]["pt"], two["GenPart"]["pt"])
    mine, its = (set(events["LHEPart"]["incomingpz"].tolist()) - {0.0} for events in (one, other))
    assert mine.isdisjoint(its)


def test_the_script_is_told_events_seed_and_cores(home: Home, tmp_path: Path) -> None:
    told = tmp_path / "told"
    pack = write_gridpack(tmp_path, before=f'echo "$1 $2 $3" >> {told}; test ! -e left && touch left')
    request = _request(home, _card_file(tmp_path, pack))
    assert told.read_text().split() == ["10", "1", "1"]
    for index in (0, 1):
        _job_events(request, index)
    lines = [line.split() for line in told.read_text().splitlines()[1:]]
    jobs = [simulate_job(request, index) for index in (0, 1)]
    assert lines == [[str(job.gen_events), str(job.generator_seed), "1"] for job in jobs]


def test_the_energy_and_cross_section_are_those_of_the_gridpack(home: Home, tmp_path: Path) -> None:
    pack = write_gridpack(tmp_path, ecm=13600.0)
    with pytest.raises(ConfigError, match=r"is of 13\.6 TeV, the card of 13 TeV"):
        _request(home, _card_file(tmp_path, pack))
    request = _request(home, _card_file(tmp_path, pack, tev=13.6))
    assert request.energy_tev == 13.6
    assert request.card.energies[0].cross_section_pb == 1.0
    assert dict(request.source.contents())["carried"].startswith("the hard process")


@pytest.mark.parametrize(
    ("before", "fewer", "told"),
    [
        (
            "echo no license for the generator; exit 3",
            "",
            "exit code 3; it said last: making 10.*no license",
        ),
        ("kill -9 $$", "", "was killed by signal 9"),
        ("exit 0", "", r"wrote no cmsgrid_final\.lhe"),
        ("", " - 3", "made 7 events, 10 were asked for"),
    ],
)
def test_a_script_that_fails_is_told_when_ordering(
    home: Home, tmp_path: Path, before: str, fewer: str, told: str
) -> None:
    pack = write_gridpack(tmp_path, before=before, fewer=fewer)
    with pytest.raises(InputError, match=told) as caught:
        _request(home, _card_file(tmp_path, pack))
    assert "\n" not in str(caught.value)
    assert not list(home.path.rglob("request.yaml"))


def test_a_script_that_fails_on_the_node_is_worth_a_retry(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble, scratch = tmp_path / "trouble", tmp_path / "scratch"
    pack = write_gridpack(tmp_path, before=f'if test -e {trouble}; then echo "no cvmfs here" >&2; exit 7; fi')
    request = _request(home, _card_file(tmp_path, pack))
    trouble.touch()
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with pytest.raises(NodeError, match=r"exit code 7; it said last: .*no cvmfs here") as caught:
        _job_events(request, 0)
    assert caught.value.exit_code == 22
    del caught
    assert not list(scratch.iterdir())


def test_what_is_no_gridpack_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tar\.xz does not exist"):
        _request(home, _card_file(tmp_path, tmp_path / "nowhere.tar.xz"))
    text = tmp_path / "text.tar.xz"
    text.write_text("no tarball")
    with pytest.raises(InputError, match="is no tarball"):
        _request(home, _card_file(tmp_path, text))
    empty = tmp_path / "empty.tar.gz"
    with tarfile.open(empty, "w:gz"):
        pass
    with pytest.raises(InputError, match=r"has no runcmsgrid\.sh at its top"):
        _request(home, _card_file(tmp_path, empty))
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(write_gridpack(tmp_path).read_bytes()[:300])
    with pytest.raises(InputError, match="is no tarball, or is cut off"):
        _request(home, _card_file(tmp_path, cut))
    with pytest.raises(InputError, match=r"is a folder|cannot be read|no regular file"):
        _request(home, _card_file(tmp_path, tmp_path))
    with pytest.raises(ConfigError, match="gridpack: give the whole path, or an address"):
        find_card(str(_card_file(tmp_path, "z.tar.xz")))
    with pytest.raises(RequestError, match="--primary"):
        make_order(Typed(card=str(_card_file(tmp_path, text)), events="6", primary="Z"))
    assert not list(home.path.rglob("request.yaml"))


def test_another_gridpack_than_ordered_is_told_by_the_job(home: Home, tmp_path: Path) -> None:
    pack = write_gridpack(tmp_path)
    request = _request(home, _card_file(tmp_path, pack))
    sent = tmp_path / "sent"
    sent.mkdir()
    shutil.copy(pack, sent)
    write_gridpack(tmp_path, before="true")
    with pytest.raises(InputError, match="is not the one that the request was made with"):
        _job_events(request, 0)
    # what was sent to the job is what it takes
    assert _job_events(request, 0, lambda url: str(sent / Path(url).name))


def test_the_tarball_is_sent_to_jobs_and_an_address_is_not(home: Home, tmp_path: Path) -> None:
    pack = write_gridpack(tmp_path)
    source = _request(home, _card_file(tmp_path, pack)).source
    assert [file.url for file in source.sent_for(0, 1)] == [file.url for file in source.sent] == [str(pack)]
    assert source.sent[0].bytes == pack.stat().st_size
    assert source.model_copy(update={"url": "https://here/z.tar.xz"}).sent_for(0, 1) == ()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in `tmp_path`."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_gridpack_is_fetched_by_its_address(home: Home, tmp_path: Path, served: str) -> None:
    write_gridpack(tmp_path)
    request = _request(home, _card_file(tmp_path, f"{served}/z.tar.xz"))
    (events,) = _job_events(request, 0)
    assert events.n == 2
    with pytest.raises(InputError, match="HTTP 404"):
        _request(home, _card_file(tmp_path, f"{served}/y.tar.xz"))
    with pytest.raises(StorageError, match=r"cannot be read: .*; try again later"):
        _request(home, _card_file(tmp_path, "http://127.0.0.1:9/z.tar.xz"))
    with pytest.raises(InputError, match="copy it here and name the copy"):
        _request(home, _card_file(tmp_path, "ftp://there//z.tar.xz"))


def test_cards_without_a_gridpack_are_written_as_ever() -> None:
    card = ProcessCard(
        name="z", title="z", primary="z", energies=(Energy(tev=13, pileup="Run2_2018"),), settings=("a = b",)
    )
    assert "gridpack" not in card.model_dump()
    assert "gridpack" not in json.loads(card.model_dump_json())
    packed = card.model_copy(update={"gridpack": "/z.tar.xz"})
    assert ProcessCard.from_mapping(packed.model_dump(mode="json"), "it") == packed


def test_who_runs_pythia_alone_does_not_take_a_gridpacks_card_for_one(tmp_path: Path) -> None:
    card = find_card(str(_card_file(tmp_path, write_gridpack(tmp_path))))
    with pytest.raises(ConfigError, match="which only requests run"):
        PythiaSource(card, 13, n_events=1, seed=1, pileup_seed=1)
