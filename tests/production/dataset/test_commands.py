"""The commands as typed, against the real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.cli.requests.making import Making, make
from flashsim_prod.core.request import Registration
from flashsim_prod.errors import CatalogError, InputError, RequestError
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.production.dataset.register import register_request
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed
from flashsim_prod.production.order.rucio_input import input_files
from flashsim_prod.production.order.rucio_rses import find_registration

PlaceRequest = Callable[..., str]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def registered(server: Any, home: Home, place_request: PlaceRequest) -> tuple[str, str]:
    """A request that is registered in Rucio, and its dataset."""
    name = place_request()
    return name, str(drive(home, name).request.dataset)


def test_register_files_and_verify(registered: tuple[str, str], server: Any) -> None:
    name, dataset = registered
    done = command("register", name, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["scope"], told["container"], told["rse"]) == ("cms", dataset, "T2_IT_Pisa")
    listed = command("files", dataset, "--catalog", "rucio", "--json")
    files = json.loads(listed.stdout)
    assert [len(files), sum(file["events"] for file in files)] == [4, 80]
    assert command("verify", dataset, "--catalog", "rucio").returncode == 0
    path = Path(files[0]["replicas"][0]["pfn"])
    contents = bytearray(path.read_bytes())
    contents[5] ^= 1
    path.write_bytes(contents)
    flipped = command("verify", dataset, "--catalog", "rucio")
    assert (flipped.returncode, "checksum" in flipped.stdout) == (8, True)
    path.unlink()
    assert command("verify", dataset, "--catalog", "rucio").returncode == 5


def test_an_order_signs_in_once(server: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import rucio.client

    made: list[object] = []

    class Counted(rucio.client.Client):
        def __init__(self, **named: Any) -> None:
            made.append(self)
            super().__init__(**named)

    monkeypatch.setattr(rucio.client, "Client", Counted)
    registration = Registration(rse="T2_IT_Pisa_Temp", lifetime_days=1)
    typed = Typed(card="ttbar", events="100", oversample="10", catalog="rucio", registration=registration)
    make(typed, Making(name=None, dry_run=True, wait=False, yes=True, as_json=True))
    assert home.names() == ["ttbar-001"]
    # for its storage element, for the version of the dataset, and once more when that was taken
    assert len(made) == 1


def test_sites_check(server: Any, home: Home) -> None:
    of_rucio = ("--only", "rucio", "--only", "rses", "--only", "rse")
    done = command("sites", "check", *of_rucio, "--json")
    assert done.returncode == 0, done.stderr
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert found["rucio"]["detail"].startswith("root (service) at http://127.0.0.1:")
    assert found["rse"]["is_fine"]
    assert "T2_IT_Pisa_Temp" in found["rses"]["detail"]
    nowhere = command("sites", "check", "--rse", "T2_XX_Nowhere", "--json")
    assert (nowhere.returncode, "rse" in nowhere.stderr) == (22, True)
    other = json.loads(nowhere.stdout)
    assert "knows no storage element" in {one["what"]: one for one in other}["rse"]["detail"]


def test_where_to_register_is_settled_before_anything_is_made(server: Any, admin: Any) -> None:
    def find(scope: str = "cms", rse: str | None = None, **more: Any) -> Registration:
        return find_registration("rucio", Registration(scope=scope, rse=rse, **more), "LOCAL")

    known = set(admin.list_scopes())
    for scope in {"user.jdoe"} - known:
        admin.add_scope("root", scope)
    # the administrator may write to both, users only to the one for that
    with pytest.raises(RequestError, match=r"you may write to T2_IT_Pisa, T2_IT_Pisa_Temp"):
        find()
    assert find("user.jdoe").rse == "T2_IT_Pisa_Temp"
    assert find(rse="T2_IT_Pisa", rse_expression="T2_IT_Pisa|T2_IT_Pisa_Temp").rse == "T2_IT_Pisa"
    for told, complaint in (
        ({"rse": "T2_IT_Piza"}, r"knows no storage element T2_IT_Piza; did you mean T2_IT_Pisa\?"),
        ({"rse": "Pisa"}, "is no storage element of CMS"),
        ({"rse": "T2_IT_Pisa", "scope": "user.jdoe"}, "say --rse T2_IT_Pisa_Temp"),
        ({"rse": "T2_IT_Pisa", "rse_expression": "T2_XX|("}, r"--rse-expression 'T2_XX\|\('.*parentheses"),
    ):
        with pytest.raises(RequestError, match=complaint):
            find(**told)
    admin.update_rse("T2_IT_Pisa", {"availability_write": False})
    try:
        with pytest.raises(RequestError, match="T2_IT_Pisa takes no files at present"):
            find(rse="T2_IT_Pisa")
        assert find().rse == "T2_IT_Pisa_Temp"
    finally:
        admin.update_rse("T2_IT_Pisa", {"availability_write": True})


@pytest.fixture
def as_jane(server: Any, admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sign in as an account that is no administrator and owns one scope."""
    from rucio.common.config import clean_cached_config

    if "jane" not in {one["account"] for one in admin.list_accounts()}:
        admin.add_account("jane", "USER", "jane@localhost")
        admin.add_identity("jane", "jane", "USERPASS", "jane@localhost", password="Secret12345")
        admin.add_scope("jane", "user.jane")
        admin.add_scope("root", "user.other")
    config = tmp_path / "jane.cfg"
    told = {"username": "jane", "password": "Secret12345", "account": "jane"}
    lines = server.config.read_text().splitlines()
    config.write_text(
        "\n".join(
            f"{(k := line.split(' = ')[0])} = {told[k]}" if line.split(" = ")[0] in told else line
            for line in lines
        )
    )
    monkeypatch.setenv("RUCIO_CONFIG", str(config))
    clean_cached_config()
    yield
    monkeypatch.setenv("RUCIO_CONFIG", str(server.config))
    clean_cached_config()


def test_the_scope_is_one_that_may_be_added_to(as_jane: None, admin: Any, home: Home) -> None:
    def find(scope: str) -> Registration:
        return find_registration("rucio", Registration(scope=scope, rse="T2_IT_Pisa_Temp"), "LOCAL")

    before = {scope: _names(admin, scope) for scope in admin.list_scopes()}
    assert find("user.jane").scope == "user.jane"
    for scope, complaint in (
        (
            "user.other",
            "--scope user.other: Rucio lets account jane add nothing there; say --scope user.jane",
        ),
        ("cms", "--scope cms: Rucio lets account jane add nothing there; say --scope user.jane"),
        ("user.jain", r"--scope user.jain: Rucio has no such scope; did you mean user.jane\?"),
        ("group.zzzzzzzz", "Rucio has no such scope; ask an administrator for it, for account jane"),
    ):
        with pytest.raises(RequestError, match=complaint):
            find(scope)
    assert {scope: _names(admin, scope) for scope in admin.list_scopes()} == before, "asking makes nothing"


def _names(admin: Any, scope: str) -> set[str]:
    return set(admin.list_dids(scope, [{"name": "*"}], did_type="all"))


def test_a_request_of_a_scope_that_is_none_writes_nothing(server: Any, home: Home) -> None:
    at = ("--rse", "T2_IT_Pisa_Temp", "--scope", "user.nobody")
    done = command("request", "ttbar", "--events", "10", "--catalog", "rucio", *at, "--yes")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "--scope user.nobody: Rucio has no such scope" in done.stderr
    assert not home.names()


def test_a_rule_lives_for_a_while_that_can_be(registered: tuple[str, str], home: Home) -> None:
    name, _ = registered
    for days in (0.0, -1.0, 1e9, float("inf"), float("nan")):
        with pytest.raises(RequestError, match="lifetime_days: must be"):
            register_request(home, name, lifetime_days=days)


def test_what_is_not_configured_is_one_line(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "none.cfg"))
    done = command("files", "/A/B-c-v1/NANOAODSIM", "--catalog", "rucio")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_input_of_rucio_is_at_the_site(registered: tuple[str, str], server: Any) -> None:
    _, dataset = registered
    files = input_files(f"rucio:cms:{dataset}", "T2_IT_Pisa")
    assert len(files) == 4
    assert all(Path(file.url).is_relative_to(server.stores["T2_IT_Pisa"]) for file in files)
    assert all(file.dataset == dataset and file.url.endswith(str(file.lfn)) for file in files)
    with RucioCatalog() as catalog:
        block = catalog.blocks(dataset)[0].name
    assert len(input_files(f"rucio:cms:{block}", "T2_IT_Pisa")) == 2
    with pytest.raises(RequestError, match="the form is"):
        input_files("rucio:cms", "T2_IT_Pisa")
    with pytest.raises(CatalogError, match="no dataset"):
        input_files(f"rucio:cms:{dataset.replace('-v1', '-v9')}", "T2_IT_Pisa")


def test_dataset_in_dataset_out(server: Any, home: Home, admin: Any) -> None:
    """A dataset of Rucio is simulated again, and the new one says in Rucio and DBS what it was made of."""
    at = ("--rse", "T2_IT_Pisa")
    wanted = ("--oversample", "2", "--seed", "5", "--catalog", "rucio", *at)
    parent = requested("vbf_hmumu", "--events", "24", *wanted)
    made = requested("vbf_hmumu", *wanted, "--input", f"rucio:cms:{parent['container']}")
    assert (made["events"], made["container"] != parent["container"]) == (48, True)
    assert admin.get_metadata("cms", made["container"], plugin="JSON")["parents"] == [parent["container"]]
    told = json.loads(command("publish", made["request"], "--dry-run", *at, "--json").stdout)
    dump = json.loads(Path(told["dumps"][0]).read_bytes())
    (parent_lfn,) = (file["name"] for file in admin.list_files("cms", parent["container"]))
    assert dump["file_parent_list"] == [
        {"logical_file_name": dump["files"][0]["logical_file_name"], "parent_logical_file_name": parent_lfn}
    ]


def requested(*arguments: str) -> dict[str, Any]:
    """The summary of a request that ran to its end."""
    done = command("request", *arguments, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_input_that_is_nowhere(server: Any, container: str) -> None:
    with RucioCatalog() as catalog:
        catalog.ensure_container(container, {})
    with pytest.raises(InputError, match="holds no files"):
        input_files(f"rucio:cms:{container}", "T2_IT_Pisa")


def test_users_write_to_temporary_storage_and_ask_for_a_rule(
    server: Any, home: Home, place_request: PlaceRequest, admin: Any
) -> None:
    if "user.jdoe" not in admin.list_scopes():
        admin.add_scope("root", "user.jdoe")
    name = place_request(registration=Registration(scope="user.jdoe", rse="T2_IT_Pisa"))
    with pytest.raises(RequestError, match=r"may not write to T2_IT_Pisa; say --rse T2_IT_Pisa_Temp"):
        drive(home, name)
    name = place_request(
        registration=Registration(scope="user.jdoe", rse="T2_IT_Pisa_Temp", lifetime_days=30), catalog="none"
    )
    drive(home, name)
    done = register_request(home, name, catalog="rucio")
    dataset = str(done.request.dataset)
    assert dataset.endswith("/USER")
    with RucioCatalog("user.jdoe") as catalog:
        found = catalog.container(dataset)
        assert (found.open_blocks, found.events) == (0, 80)
        (rule,) = catalog.rules(dataset)
        assert rule.rse_expression == "T2_IT_Pisa"
        assert rule.expires is not None
        replicas = {replica.rse for file in catalog.files(dataset) for replica in file.replicas}
        assert "T2_IT_Pisa_Temp" in replicas
