"""How DAGMan ended, by the schedd's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashsim_prod.grid.batch.htcondor.dagman_end import DagmanEnd, dagman_end

HEAD = """\
000 (001.000.000) 2026-11-28 21:53:19 Job submitted from host: <127.0.0.1:19733?alias=localhost>
...
001 (001.000.000) 2026-11-28 21:53:19 Job executing on host: <127.0.0.1:19733?alias=localhost>
...
"""
EVICTED = """\
004 (001.000.000) 2026-11-28 21:53:21 Job was evicted.
\t(0) CPU times
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
...
"""
ABORTED = "009 (001.000.000) 2026-11-28 21:53:21 Job was aborted.\n{}...\n"
TERMINATED = "005 (001.000.000) 2026-11-28 21:53:21 Job terminated.\n\t{}\n\t\tUsr 0 00:00:00\n...\n"


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ("", None),
        (EVICTED, None),
        (
            EVICTED + ABORTED.format("\tvia condor_rm (by user jdoe)\n"),
            DagmanEnd("removed from the queue: via condor_rm (by user jdoe)", is_removal=True),
        ),
        (ABORTED.format(""), DagmanEnd("removed from the queue: no reason given", is_removal=True)),
        (
            ABORTED.format(
                "\tThe system macro SYSTEM_PERIODIC_REMOVE expression 'x > 1' evaluated to TRUE\n"
            ),
            DagmanEnd(
                "removed from the queue: The system macro SYSTEM_PERIODIC_REMOVE expression 'x > 1' "
                "evaluated to TRUE",
                is_removal=True,
            ),
        ),
        (
            TERMINATED.format("(0) Abnormal termination (signal 11)"),
            DagmanEnd("DAGMan was ended by signal 11"),
        ),
        (
            TERMINATED.format("(1) Normal termination (return value 1)"),
            DagmanEnd("DAGMan ended with exit code 1", exit_code=1),
        ),
        (
            TERMINATED.format("(1) Normal termination (return value 0)"),
            DagmanEnd("DAGMan ended with exit code 0", exit_code=0),
        ),
        ("009 (001.000.000) cut off in the mid", None),
    ],
)
def test_the_last_end_counts(tmp_path: Path, events: str, end: DagmanEnd | None) -> None:
    log = tmp_path / "request.dag.dagman.log"
    assert dagman_end(log) is None
    log.write_text(HEAD + events)
    assert dagman_end(log) == end
