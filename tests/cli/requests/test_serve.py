"""``serve`` and ``metrics`` as typed."""

from __future__ import annotations

import socket
from pathlib import Path

from ..conftest import Cli


def test_a_port_that_is_taken_is_one_line(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = cli("serve", "--port", str(other.getsockname()[1]))
    assert (ended.code, ended.out) == (2, "")
    assert "is taken" in ended.complaint
    assert cli("serve", "--port", "65536").code == 2


def test_metrics_are_printed_written_and_told_as_json(cli: Cli, tmp_path: Path) -> None:
    printed = cli("metrics").out
    assert "# TYPE flashsim_prod_requests gauge" in printed
    file = tmp_path / "node" / "flashsim.prom"
    assert cli("metrics", "--output", str(file)).out == f"{file}\n"
    assert file.read_text() == printed
    assert file.stat().st_mode & 0o444 == 0o444, "the collector is another user"
    found = cli("metrics", "--output", str(file), "--json").json
    assert found["output"] == str(file)
    assert "flashsim_prod_jobs" in [one["name"] for one in found["metrics"]]
    ended = cli("metrics", "--output", str(tmp_path))
    assert (ended.code, ended.out) == (20, "")
    assert "a folder" in ended.complaint
