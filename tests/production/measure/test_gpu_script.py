"""What is to be measured on a GPU, tried on a CPU: all steps of the script, a little of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


def _run(what: str, folder: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        what,
        str(folder),
        "--device",
        "cpu",
        "--cpus",
        "2",
        "--quick",
        "--minutes",
        "60",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)
    assert ended.returncode == 0, ended.stderr


def test_every_step_gives_figures(tmp_path: Path) -> None:
    for what in ("prepare", "measure"):
        _run(what, tmp_path)
    found: dict[str, Any] = json.loads((tmp_path / "gpu.json").read_text())
    request = found["request"]
    assert (request["state"], request["events"], request["processes"]) == ("DONE", 20, 2)
    assert found["alike"]["collections_with_other_counts"] == []
    assert found["alike"]["is_within_1e-4"]
    for bundle in ("reference", "two_million"):
        for site in ("feeders", "graphs"):
            assert found[f"bench {bundle} {site} 2"]["events_hz"] > 0
    assert found["bench reference feeders"]["events_hz"] > 0
    assert found["training"]["ms_per_step"] > 0
    # machines that tests run on seldom tell what they draw; then the step says so, and stops no other
    assert "result" in found["energy"] or "meter" in found["energy"]["failed"]
