"""A server that is busy, slow, gone or forgetful, and what users are told of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import CatalogError, ConfigError, StorageError
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls


@pytest.fixture
def between(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Something between client and server, which rucio's configuration names instead of the server."""
    from rucio.common.config import clean_cached_config

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    from between import Between

    with Between(server.url) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        config = tmp_path / "rucio.cfg"
        config.write_text(server.config.read_text().replace(server.url, proxy.url))
        monkeypatch.setenv("RUCIO_CONFIG", str(config))
        clean_cached_config()
        yield proxy
        proxy.shutdown()
    clean_cached_config()


@pytest.mark.parametrize("trouble", [429, 500, 503, 401, "drop", "late", "sleep"])
def test_troubles_that_pass_are_outlived(between: Any, container: str, trouble: int | str) -> None:
    with RucioCatalog("cms", RucioCalls(patience_s=20, answer_s=1)) as catalog:
        # of two refusals in a row, the second meets the request for a new token
        troubles = [trouble] if trouble == 401 else [trouble, trouble]
        between.troubles += troubles
        catalog.ensure_container(container, {"seed": 5})
        between.troubles += [trouble]
        catalog.ensure_block(container, f"{container}#1")
        between.troubles += troubles
        catalog.add_rule(container, "T2_IT_Pisa")
        assert not between.troubles
        found = catalog.container(container)
        assert (found.blocks, found.metadata) == (1, {"seed": 5})
        assert len(catalog.rules(container)) == 1


def test_a_server_that_stays_busy_is_told_in_one_line(between: Any, container: str) -> None:
    with RucioCatalog("cms", RucioCalls(patience_s=1)) as catalog:
        between.troubles += [429] * 50
        start = time.monotonic()
        with pytest.raises(StorageError, match=r"does not answer .*429.*tried for 1 s; nothing is lost"):
            catalog.ensure_container(container, {})
        assert time.monotonic() - start < 10


def test_refusals_are_told_at_once(between: Any, container: str) -> None:
    with RucioCatalog("user.nobody", RucioCalls(patience_s=20)) as catalog:
        before = len(between.calls)
        with pytest.raises(CatalogError, match="ScopeNotFound"):
            catalog.ensure_container("/Toy/nobody-x-" + "0" * 32 + "/USER", {})
        assert len(between.calls) == before + 1


@pytest.fixture
def configured(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """A function that writes a configuration with something replaced; no token is at hand."""
    from rucio.common.config import clean_cached_config

    def write(before: str, after: str) -> None:
        config = tmp_path / "rucio.cfg"
        text = server.config.read_text()
        assert before in text
        config.write_text(text.replace(before, after))
        monkeypatch.setenv("RUCIO_CONFIG", str(config))
        monkeypatch.setattr("rucio.client.baseclient.BaseClient.TOKEN_PATH_PREFIX", f"{tmp_path}/tokens_")
        clean_cached_config()

    yield write
    clean_cached_config()


def test_credentials_are_never_told(
    configured: Callable[[str, str], None],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    configured("password = secret", "password = hunter2")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(ConfigError, match="refuses your credentials") as refused,
    ):
        RucioCalls(patience_s=2).ask("whoami")
    out, err = capfd.readouterr()
    assert "hunter2" not in str(refused.value) + caplog.text + out + err
    assert "hunter2" not in "".join(
        path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "rucio.cfg"
    )


def test_a_configuration_that_lacks_something_is_told(configured: Callable[[str, str], None]) -> None:
    configured("password = secret\n", "")
    with pytest.raises(ConfigError, match="not configured"):
        RucioCalls(patience_s=2)
