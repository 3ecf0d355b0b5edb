"""From a request to a container that Rucio's own tools list, download and verify."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import CatalogError, ConfigError, StorageError, WrongChecksumError
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.dataset.register import register_request
from flashsim_prod.production.dataset.verify import error_of, verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home, open_home
from flashsim_prod.production.order.folder import load_request

RSE = "T2_IT_Pisa"
PlaceRequest = Callable[..., str]


@pytest.fixture
def made(server: Any, home: Home, place_request: PlaceRequest) -> tuple[Home, Outcome]:
    """A finished request that was to be registered in Rucio."""
    return home, drive(home, place_request())


def test_a_request_is_uploaded_and_registered(
    made: tuple[Home, Outcome], server: Any, tmp_path: Path
) -> None:
    home, outcome = made
    assert outcome.state is RequestState.DONE
    dataset = str(outcome.request.dataset)
    assert f"cms:{dataset}" in server.rucio("did", "list", f"cms:{dataset}", "--filter", "type=container")
    for file in outcome.files:
        assert (server.stores[RSE] / file.lfn[1:]).read_bytes() == Path(file.pfn).read_bytes()
    server.rucio("download", "--dir", str(tmp_path / "got"), f"cms:{dataset}")
    got = {path.name: path.read_bytes() for path in (tmp_path / "got").rglob("*.root")}
    assert got == {Path(file.pfn).name: Path(file.pfn).read_bytes() for file in outcome.files}
    found = verify(home, dataset, catalog="rucio")
    assert (found.files, found.problems) == (4, ())


def test_files_that_lie_where_rucio_wants_them_stay(
    server: Any, home: Home, place_request: PlaceRequest
) -> None:
    name = place_request(prefix=str(server.stores[RSE]), catalog="none")
    outcome = drive(home, name)
    before = _stored(server.stores[RSE])
    assert len(before) == 4
    done = register_request(home, name, catalog="rucio")
    assert _stored(server.stores[RSE]) == before
    assert verify(home, str(done.request.dataset), catalog="rucio").problems == ()
    assert [file.lfn for file in done.files] == [file.lfn for file in outcome.files]


def _stored(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_second_run_changes_nothing(made: tuple[Home, Outcome], server: Any) -> None:
    home, outcome = made
    before = _stored(server.stores[RSE])
    with RucioCatalog() as catalog:
        container = catalog.container(str(outcome.request.dataset))
        rules = catalog.rules(container.name)
        register_request(home, outcome.request.name)
        drive(home, outcome.request.name)
        assert catalog.container(container.name) == container
        assert catalog.rules(container.name) == rules
    assert _stored(server.stores[RSE]) == before


def test_a_flipped_byte_is_found(made: tuple[Home, Outcome], server: Any) -> None:
    home, outcome = made
    path = server.stores[RSE] / outcome.files[1].lfn[1:]
    contents = bytearray(path.read_bytes())
    contents[10] ^= 1
    path.write_bytes(contents)
    found = verify(home, str(outcome.request.dataset), catalog="rucio")
    assert [(problem.kind, problem.lfn) for problem in found.problems] == [("checksum", outcome.files[1].lfn)]
    assert isinstance(error_of(found), WrongChecksumError)
    with pytest.raises(StorageError, match=r"has adler32 .*; not registered"):
        register_request(home, outcome.request.name)


def test_missing_short_and_extra_files_are_found(made: tuple[Home, Outcome], server: Any) -> None:
    home, outcome = made
    paths = [server.stores[RSE] / file.lfn[1:] for file in outcome.files]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    (paths[0].parent / "stray.root").touch()
    found = verify(home, str(outcome.request.dataset), catalog="rucio")
    kinds = {problem.lfn.rsplit("/", 1)[-1]: problem.kind for problem in found.problems}
    assert kinds == {paths[0].name: "missing", paths[1].name: "size", "stray.root": "extra"}


def test_what_the_catalogue_knows_of_the_making(made: tuple[Home, Outcome]) -> None:
    _, outcome = made
    request = outcome.request
    with RucioCatalog() as catalog:
        known = catalog.container(str(request.dataset)).metadata
    assert (known["card"], known["seed"], known["oversample"]) == ("toy", 1234, 10)
    assert known["bundle_digest"] == request.bundle.digest
    assert known["software"] == f"flashsim-prod {request.software_version}"


def test_versions_that_others_have_registered_are_taken(
    made: tuple[Home, Outcome], tmp_path: Path, place_request: PlaceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outcome = made
    monkeypatch.setenv("FLASHSIM_PROD_HOME", str(tmp_path / "other"))
    other = open_home()
    request = load_request(other.folder(place_request(other)).request)
    assert request.dataset == outcome.request.dataset.model_copy(update={"version": 2})


def test_the_same_name_with_other_contents_is_refused(
    made: tuple[Home, Outcome], tmp_path: Path, place_request: PlaceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outcome = made
    monkeypatch.setenv("FLASHSIM_PROD_HOME", str(tmp_path / "other"))
    other = open_home()
    name = place_request(other, seed=99, catalog="none")
    assert drive(other, name).request.dataset == outcome.request.dataset
    with pytest.raises((CatalogError, StorageError), match="is known with request_digest"):
        register_request(other, name, catalog="rucio")


#: a registration in a process of its own, which dies just before the call of a method
_DYING = """
import os, signal, sys
from pathlib import Path
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls
from flashsim_prod.production.home import Home, open_home
from flashsim_prod.production.dataset.register import register_request
home, name, left = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
real = RucioCalls._call
def call(self, *told):
    global left
    answer = real(self, *told) if left % 2 else None
    left -= 2
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer if left % 2 else real(self, *told)
RucioCalls._call = call
register_request(home, name, catalog="rucio")
"""


def test_a_registration_killed_at_any_call_is_taken_up_again(
    server: Any, home: Home, place_request: PlaceRequest
) -> None:
    name = place_request(catalog="none")
    dataset = str(drive(home, name).request.dataset)
    deaths, calls = 0, 0
    # odd: just after the call, even: just before it
    while calls < 200:
        command = [sys.executable, "-c", _DYING, str(home.path), name, str(calls)]
        code = subprocess.run(command, capture_output=True, check=False).returncode
        if code == 0:
            break
        assert code == -9
        deaths += 1
        calls += 9
    assert code == 0
    assert deaths >= 4
    found = verify(home, dataset, catalog="rucio")
    assert (found.files, found.problems) == (4, ())


def test_a_server_that_is_down_leaves_a_request_that_can_be_registered(
    server: Any, home: Home, place_request: PlaceRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = place_request()
    dead = tmp_path / "rucio.cfg"
    dead.write_text(server.config.read_text().replace(server.url, "http://127.0.0.1:9"))
    monkeypatch.setenv("FLASHSIM_PROD_PATIENCE_S", "1")
    with monkeypatch.context() as patch:
        patch.setenv("RUCIO_CONFIG", str(dead))
        patch.setenv("TMPDIR", str(tmp_path))
        _forget_configuration()
        with pytest.raises(StorageError, match="Rucio does not answer"):
            drive(home, name)
        (tmp_path / "none").mkdir()
        patch.setenv("RUCIO_CONFIG", str(tmp_path / "none" / "rucio.cfg"))
        _forget_configuration()
        with pytest.raises(ConfigError, match="Rucio is not configured"):
            register_request(home, name)
    _forget_configuration()
    assert register_request(home, name).state is RequestState.DONE


def _forget_configuration() -> None:
    """Make rucio read its configuration anew, as a new process does."""
    from rucio.common.config import clean_cached_config

    clean_cached_config()
