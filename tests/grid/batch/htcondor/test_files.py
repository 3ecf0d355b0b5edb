"""How input gets to jobs and output from them, and with which credentials."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.batch.htcondor.engine import HTCondorBatch
from flashsim_prod.grid.batch.htcondor.section import Software
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive.detached import hand_over
from flashsim_prod.production.home import Home
from tests.batch_systems import finished

from .conftest import RunningPool

Placed = Callable[..., str]
MakeSite = Callable[..., Site]


@pytest.fixture
def store(xrootd_server: tuple[str, Path]) -> tuple[str, Path]:
    """URL of an empty storage element behind XRootD, and its files' folder here."""
    url, folder = xrootd_server
    shutil.rmtree(folder / "store", ignore_errors=True)
    return url, folder


@pytest.mark.parametrize("by", ["plugins of HTCondor", "the jobs"])
def test_files_behind_a_server(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, store: tuple[str, Path], by: str
) -> None:
    url, folder = store
    where = site(files="transfer", carries_urls=by != "the jobs", prefix=url)
    name = placed(where, 4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE, outcome.failures
    assert [file.pfn for file in outcome.files] == [f"{url}{file.lfn}" for file in outcome.files]
    there = sorted(f"/{path.relative_to(folder)}" for path in folder.rglob("*.root"))
    assert there == sorted(file.lfn for file in outcome.files), "merged files, and nothing else"
    assert not (home.path / "store").exists()


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[str], None]) -> Path:
    """A user's X.509 proxy, with its private key, signed by the user itself."""
    if shutil.which("openssl") is None:
        lacking("openssl")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, check=True)

    subject = "/DC=ch/DC=test/CN=User"
    new = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "user.key", "-out", "user.pem", "-days", "2", "-subj", subject)
    openssl("req", *new, "-keyout", "proxy.key", "-out", "proxy.csr", "-subj", f"{subject}/CN=1")
    (tmp_path / "kind").write_text("proxyCertInfo=critical,language:id-ppl-inheritAll\n")
    signed_by = ("-CA", "user.pem", "-CAkey", "user.key", "-set_serial", "1", "-extfile", "kind")
    openssl("x509", "-req", "-in", "proxy.csr", "-out", "proxy.pem", "-days", "1", *signed_by)
    path = tmp_path / "x509up"
    path.touch(mode=0o600)
    path.write_text("".join((tmp_path / f).read_text() for f in ("proxy.pem", "proxy.key", "user.pem")))
    monkeypatch.setenv("X509_USER_PROXY", str(path))
    return path


@pytest.mark.parametrize("files", ["shared", "transfer"])
def test_a_proxy_travels_and_is_written_nowhere(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, proxy: Path, fake_python: Path, files: str
) -> None:
    asks = (
        f'[ "$X509_USER_PROXY" != {proxy} ] || exit 10',
        'openssl x509 -in "$X509_USER_PROXY" -noout -issuer >&2 || exit 10',
    )
    software = Software(python=str(fake_python), setup=asks)
    name = placed(site(files=files, proxy=True, software=software), 1)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE, outcome.failures
    log = home.folder(name).logs / "simulate_000000.1.1.log"
    # the schedd hands out a proxy of the proxy
    assert "CN = User, CN = 1" in log.read_text()
    secrets = [line for line in proxy.read_bytes().split(b"\n") if len(line) == 64]
    written = [path.read_bytes() for path in home.path.rglob("*") if path.is_file()]
    assert len(secrets) > 20
    assert not any(secret in one for secret in secrets for one in written)
    assert not any(b"PRIVATE KEY" in one for one in written)


def test_a_proxy_that_is_not_there_or_ends_is_told_of_before_anything_is_submitted(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, proxy: Path
) -> None:
    name = placed(site(proxy=True), 1)
    for text, complaint in (("", "ends within the hour"), (None, "no X.509 proxy at")):
        proxy.unlink() if text is None else proxy.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=complaint):
            hand_over(home, name)
    found = {one.what: one for one in HTCondorBatch(site(proxy=True)).check()}
    assert not found["proxy"].is_fine
    assert not pool("condor_q", "-af", "ClusterId").strip()


def test_tokens_that_no_service_hands_out_are_named(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite
) -> None:
    outcome = finished(home, placed(site(tokens=("cms",)), 1))
    assert outcome.state is RequestState.FAILED
    assert outcome.failures[0].error.startswith("not submitted: Failed to produce job credentials")


@pytest.mark.parametrize("files", ["shared", "transfer"])
def test_a_failure_keeps_its_exit_code_and_its_words(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path, files: str
) -> None:
    what = ("once:StorageError", "InputError", "once:kill", "once:no-report")
    for index, text in enumerate(what):
        (trouble / f"simulate_{index}").write_text(text)
    name = placed(site(files=files, failures={"avoid_node_min": 0}), 4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.FAILED
    assert [(failure.exit_code, failure.error) for failure in outcome.failures] == [
        (10, "trouble in simulate 1")
    ]
    with Ledger(home.ledger) as ledger:
        tried = [len(ledger.attempts(name, Stage.SIMULATE, index)) for index in range(4)]
    assert tried == [2, 1, 2, 2]
