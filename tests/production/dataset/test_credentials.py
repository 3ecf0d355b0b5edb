"""Every way of signing in that rucio-clients has and this machine can offer: passed on, and never told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

OWNER = "/O=Test/CN=Jane Doe"
#: a command that has to sign in; the dataset is none
COMMAND = ("files", "/A/B-c-v1/NANOAODSIM", "--catalog", "rucio")
#: what it says once it has
SIGNED_IN = "Rucio has no dataset"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A certificate authority."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    from certificates import Authority

    folder = tmp_path / "grid-security"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def front(server: Any, admin: Any, authority: Any) -> Iterator[Any]:
    """TLS in front of Rucio, which knows Jane Doe."""
    from between import Between

    if OWNER not in {one["identity"] for one in admin.list_identities("root")}:
        admin.add_identity("root", OWNER, "X509", "jane@localhost")
    with Between(server.url, authority.server()) as tls:
        threading.Thread(target=tls.serve_forever, args=(0.02,), daemon=True).start()
        yield tls
        tls.shutdown()


@pytest.fixture
def run(server: Any, tmp_path: Path) -> Run:
    """Run a command by a configuration and an environment, with no token at hand from before."""

    def do(
        url: str, settings: Mapping[str, object], command: tuple[str, ...] = COMMAND, **environment: object
    ) -> subprocess.CompletedProcess[str]:
        told = {"rucio_host": url, "auth_host": url, "account": "root", **settings}
        config = tmp_path / "rucio.cfg"
        config.write_text("\n".join(["[client]", *(f"{key} = {value}" for key, value in told.items())]))
        tokens = tmp_path / f"tokens{len(list(tmp_path.iterdir()))}"
        tokens.mkdir()
        told_here = {name: str(value) for name, value in environment.items()}
        return subprocess.run(
            [sys.executable, "-m", "flashsim_prod.cli", *command],
            env={**os.environ, "RUCIO_CONFIG": str(config), "TMPDIR": str(tokens), **told_here},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return do


def test_certificate_and_proxy(front: Any, authority: Any, run: Run) -> None:
    certificate, key = authority.user("Jane Doe")
    by_certificate = {"auth_type": "x509", "client_cert": certificate, "client_key": key}
    trusting = {"ca_cert": authority.path}
    assert SIGNED_IN in run(front.url, {**trusting, **by_certificate}).stderr
    proxy = authority.proxy()
    for settings, environment in (
        ({"client_x509_proxy": proxy}, {}),
        ({}, {"X509_USER_PROXY": proxy}),
        ({}, {"RUCIO_CLIENT_PROXY": proxy}),
    ):
        done = run(front.url, {**trusting, "auth_type": "x509_proxy", **settings}, **environment)
        assert SIGNED_IN in done.stderr
    used = {call.split()[1] for call in front.calls if "/auth/" in call}
    assert used == {"/auth/x509", "/auth/x509_proxy"}


def test_certificates_that_do_not_do_are_one_line(front: Any, authority: Any, run: Run) -> None:
    certificate, key = authority.user("Jane Doe")
    settings = {"auth_type": "x509_proxy", "ca_cert": authority.path}
    expired = run(front.url, settings, X509_USER_PROXY=authority.proxy(days=-1))
    _is_one_line(expired, "Rucio refuses your credentials (sslv3 alert certificate expired); renew proxy")
    none = run(front.url, settings, X509_USER_PROXY="/nowhere")
    _is_one_line(none, "Cannot find a valid X509 proxy")
    proxy = authority.proxy()
    _is_one_line(
        run(front.url, {**settings, "ca_cert": certificate}, X509_USER_PROXY=proxy),
        "Rucio's server is not trusted here",
    )
    key.chmod(0o644)
    open_key = {"auth_type": "x509", "client_cert": certificate, "client_key": key}
    _is_one_line(run(front.url, {**settings, **open_key}), "refuses your credentials")
    authority.user("Somebody Else")
    stranger = run(front.url, settings, X509_USER_PROXY=authority.proxy())
    _is_one_line(stranger, "Rucio refuses your credentials")


@pytest.mark.parametrize("way", ["BEARER_TOKEN", "BEARER_TOKEN_FILE", "auth_token_file_path"])
def test_tokens(server: Any, admin: Any, run: Run, tmp_path: Path, way: str) -> None:
    token = admin.whoami() and admin.auth_token
    assert SIGNED_IN in _by_token(run, server.url, tmp_path, way, token).stderr


def test_a_token_that_has_expired_is_one_line(server: Any, admin: Any, run: Run, tmp_path: Path) -> None:
    # of the right form, and none that the server knows
    expired = admin.auth_token[:-8] + "00000000"
    for way in ("BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        done = _by_token(run, server.url, tmp_path, way, expired)
        _is_one_line(done, "Rucio refuses your credentials")
        assert expired not in done.stderr


def _by_token(run: Run, url: str, folder: Path, way: str, token: str) -> Any:
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(token)
    if way == "auth_token_file_path":
        unused = {"auth_type": "userpass", "username": "nobody", "password": "none"}
        return run(url, {**unused, way: path})
    return run(url, {"auth_type": "oidc"}, **{way: token if way == "BEARER_TOKEN" else path})


def test_no_credentials_are_written_anywhere(
    front: Any, authority: Any, run: Run, home: Any, tmp_path: Path
) -> None:
    """Neither shown nor written by a check of everything; rucio's own cache of tokens is rucio's."""
    _, key = authority.user("Jane Doe")
    proxy = authority.proxy()
    settings = {"auth_type": "x509_proxy", "ca_cert": authority.path, "client_x509_proxy": proxy}
    done = run(front.url, settings, ("--debug", "sites", "check"))
    assert "root (service) at https://" in done.stdout
    secrets = [line for path in (key, proxy) for line in path.read_text().splitlines()[1:-1]]
    secrets += [line.split(": ")[1] for line in front.heard if line.startswith("X-Rucio-Auth-Token: r")]
    assert len(secrets) > 5
    written = "".join(path.read_text() for path in home.path.rglob("*") if path.is_file())
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr + written]


def _is_one_line(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
