"""Files that Rucio calls bad or lost are made again, and Rucio hands them out as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.grid.catalog.rucio_states import replica_states
from flashsim_prod.production.again.recover import Recovery, Ways, recover
from flashsim_prod.production.again.subject import chosen_files, find_subject
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home

RSE = "T2_IT_Pisa"


@pytest.fixture
def made(server: Any, home: Home, place_request: Callable[..., str]) -> tuple[str, list[Path]]:
    """A dataset of four files that Rucio has; its request, and where they are."""
    name = place_request()
    outcome = drive(home, name)
    return name, [server.stores[RSE] / file.lfn.lstrip("/") for file in outcome.files]


def _recover(home: Home, name: str) -> Recovery:
    subject = find_subject(home, name)
    return recover(subject, chosen_files(subject.request, ()), Ways())


def _lfn(path: Path) -> str:
    return str(path)[str(path).index("/store/") :]


def _states(lfns: list[str]) -> set[str | None]:
    with RucioCatalog("cms") as catalog:
        states = replica_states(catalog.calls, [{"scope": "cms", "name": lfn} for lfn in lfns], RSE)
    return {states.get(lfn) for lfn in lfns}


def test_a_file_that_vanished_or_was_altered(home: Home, made: tuple[str, list[Path]]) -> None:
    name, files = made
    was = [path.read_bytes() for path in files]
    files[0].unlink()
    files[3].write_bytes(was[3][:-1] + b"x")
    found = _recover(home, name)
    told = [(one.lost.index, one.lost.why, one.proof) for one in found.files]
    assert told == [(0, "missing", "bytes"), (3, "checksum", "bytes")]
    assert [path.read_bytes() for path in files] == was
    assert _states([_lfn(path) for path in files]) == {"AVAILABLE"}
    assert verify(home, found.dataset, catalog="rucio").problems == ()


def test_a_replica_that_was_declared_bad(home: Home, admin: Any, made: tuple[str, list[Path]]) -> None:
    name, files = made
    was = files[1].read_bytes()
    admin.declare_bad_file_replicas(
        [{"scope": "cms", "name": _lfn(files[1]), "rse": RSE}], "found to be broken"
    )
    assert _states([_lfn(files[1])]) == {"BAD"}
    (problem,) = verify(home, str(find_subject(home, name).dataset), catalog="rucio").problems
    assert problem.detail == f"the catalogue calls its replica at {RSE} BAD"
    (one,) = _recover(home, name).files
    assert (one.lost.index, one.lost.why, one.proof) == (1, "missing", "bytes")
    assert one.lost.detail == f"the catalogue calls its replica at {RSE} BAD"
    assert _states([_lfn(files[1])]) == {"AVAILABLE"}
    assert files[1].read_bytes() == was
    assert _recover(home, name).files == ()


def test_a_file_that_was_given_up(home: Home, server: Any, admin: Any, made: tuple[str, list[Path]]) -> None:
    """Its last replica was lost: it is no longer in its block, which is closed, and has no replica."""
    name, files = made
    lfn, was = _lfn(files[2]), files[2].read_bytes()
    (parent,) = admin.list_parent_dids("cms", lfn)
    admin.set_status("cms", parent["name"], open=True)
    admin.detach_dids("cms", parent["name"], [{"scope": "cms", "name": lfn}])
    admin.close("cms", parent["name"])
    files[2].unlink()
    found = _recover(home, name)
    assert [(one.lost.index, one.lost.why, one.proof) for one in found.files] == [(2, "detached", "bytes")]
    assert files[2].read_bytes() == was
    assert verify(home, found.dataset, catalog="rucio").problems == ()
    with RucioCatalog("cms") as catalog:
        assert not any(block.is_open for block in catalog.blocks(found.dataset))


def test_who_may_not_tell_rucio_is_told_who_can(
    home: Home, admin: Any, made: tuple[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, files = made
    admin.declare_bad_file_replicas([{"scope": "cms", "name": _lfn(files[1]), "rse": RSE}], "broken")
    from flashsim_prod.grid.catalog.rucio_calls import RucioCalls

    ask = RucioCalls.ask

    def refused(self: RucioCalls, method: str, *positional: Any, **named: Any) -> Any:
        if method == "update_replicas_states":
            raise CatalogError("Rucio refuses update_replicas_states: AccessDenied: you may not")
        return ask(self, method, *positional, **named)

    monkeypatch.setattr(RucioCalls, "ask", refused)
    with pytest.raises(
        CatalogError, match=r"AccessDenied.*administrator of Rucio to make .* AVAILABLE"
    ) as told:
        _recover(home, name)
    assert "\n" not in str(told.value)


def test_other_bytes_are_never_told_to_rucio(
    home: Home, made: tuple[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, files = made
    files[1].unlink()
    monkeypatch.setenv("FAKE_OTHERWISE", '{"Jet": "0000000000000000"}')
    subject = find_subject(home, name)
    path = subject.folder.reports / "merge_000001.json"
    path.write_text(path.read_text().replace('"content": null', '"content": {"Jet": "0000000000000000"}'))
    (one,) = _recover(home, name).files
    assert one.proof is None
    assert "Rucio keeps a file's checksum for ever" in one.refused
    assert not files[1].exists()
