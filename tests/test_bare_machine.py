"""A machine with Python 3.11, git and apt runs the tests; what it lacks is run where CI has put it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

#: programs of peers, and what they are built with
PEERS = (
    "xrdfs", "xrdcp", "xrootd", "ipmitool", "condor_q", "condor_submit_dag", "psql", "gcc", "cc", "apptainer",
    "nvidia-smi", "crab", "sbatch", "squeue", "sacct", "hadd", "root", "rucio", "openssl", "curl",
)  # fmt: skip

#: why a test may be skipped although everything that can be installed is there
OTHER_REASONS = re.compile(
    r"SAMPLES|this machine has a|nothing is read-only for root|is not allowed here|sys\.platform"
)


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="sys.platform has no Debian packages")
def test_the_programs_of_a_bare_machine_are_no_peers(tmp_path: Path) -> None:
    subprocess.run([TESTS.parent / ".ci" / "bare_path", tmp_path / "bin"], check=True)
    there = {path.name for path in (tmp_path / "bin").iterdir()}
    assert there >= {
        "python3.11",
        "git",
        "apt-get",
        "bash",
        "sh",
        "env",
        "awk",
        "grep",
        "sed",
        "tar",
        "mount",
    }
    assert not there.intersection(PEERS)
    alone = {"PATH": str(tmp_path / "bin")}
    for command in (["python3.11", "-c", "import ensurepip"], ["git", "--version"], ["awk", "BEGIN {}"]):
        subprocess.run(["env", *command], env=alone, check=True, capture_output=True)


def test_what_may_lack_a_peer_is_marked(
    request: pytest.FixtureRequest, lacking: Callable[[str], None]
) -> None:
    assert request.node.get_closest_marker("peers") is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="a peer is missing, and CI has to have it"):
            lacking("a peer")
        patch.delenv("CI")
        with pytest.raises(pytest.skip.Exception, match="a peer is missing"):
            lacking("a peer")


def test_nothing_is_skipped_past_the_mark() -> None:
    """A test that is skipped otherwise than by `lacking` would be run nowhere."""
    found = []
    for path in TESTS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"\b(?:pytest\.skip|importorskip|mark\.skipif)\(", text):
            if not OTHER_REASONS.search(text[max(0, match.start() - 250) : match.end() + 250]):
                found.append(f"{path.relative_to(TESTS)}: {text[match.start() : match.end() + 60]}")
    allowed = {Path(__file__).name, "conftest.py"}
    assert not [one for one in found if one.partition(":")[0] not in allowed]
