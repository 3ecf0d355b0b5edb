"""Requests on a real cluster: from the order to the dataset, whatever fails on the way."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.engines import IMAGE_PYTHON
from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import ConfigError, StorageError
from flashsim_prod.grid.batch.slurm import client
from flashsim_prod.grid.batch.slurm.engine import SlurmBatch
from flashsim_prod.grid.batch.slurm.section import Gpus, Software
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.submissions import Submissions
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.production.views import status
from tests.batch_systems import TESTS, finished, local_copy, remove_requests

from .conftest import RunningCluster

Placed = Callable[..., str]
MakeSite = Callable[..., Site]


def stored(home: Home) -> dict[str, bytes]:
    """All files below the store."""
    files = sorted((home.path / "store").rglob("*.root"))
    return {str(path.relative_to(home.path)): path.read_bytes() for path in files}


def states(home: Home, name: str, stage: Stage = Stage.SIMULATE) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs(name, stage)]


def lists(home: Home, name: str) -> list[str]:
    return sorted(path.read_text() for path in (home.folder(name).batch / "arrays").glob("*.jobs"))


def test_twenty_jobs_with_two_failures_end_as_on_this_machine(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_7").write_text("once:StorageError")
    (trouble / "simulate_18").write_text("once:kill")
    where = site()
    name = placed(where, 20, per_merge=4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE
    with LocalCatalog(home.catalog) as catalog:
        container = catalog.container(str(outcome.request.dataset))
        assert (container.files, container.events, container.open_blocks) == (5, 200, 0)
    with Ledger(home.ledger) as ledger:
        tried = {job.index: job.attempts for job in ledger.jobs(name, Stage.SIMULATE) if job.attempts > 1}
    assert tried == {7: 2, 18: 2}
    # an array has 17 tasks here at most
    simulate = [text for text in lists(home, name) if text.startswith("simulate")]
    assert sorted(text.count("\n") for text in simulate) == [3, 17]
    made = stored(home)
    remove_requests(home)
    assert drive(home, placed(local_copy(where), 20, per_merge=4)).state is RequestState.DONE
    assert stored(home) == made


def test_each_kind_of_failure_has_its_rule(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    what = {
        0: "InputError",  # no start can help
        1: "once:no-report",  # said it was done and left nothing
        2: "once:memory 900",  # takes more than it asked for
        3: "memory 2500",  # takes more than it may ever have
        4: "on node-a:NodeError",
        5: "StorageError",  # fails for ever
    }
    for index, text in what.items():
        (trouble / f"simulate_{index}").write_text(text)
    name = placed(site(failures={"memory_factor": 4.0, "memory_cap_mb": 1900}), 6, per_merge=1)
    outcome = finished(home, name)
    assert outcome.state is RequestState.FAILED
    assert states(home, name) == ["FAILED", "DONE", "DONE", "FAILED", "DONE", "FAILED"]
    assert states(home, name, Stage.MERGE) == ["PLANNED", "DONE", "DONE", "PLANNED", "DONE", "PLANNED"]
    assert sorted((failure.exit_code, failure.error) for failure in outcome.failures) == [
        (10, "trouble in simulate 0"),
        (20, "OUT_OF_MEMORY: more than 1900 MB"),
        (20, "trouble in simulate 5"),
    ]
    for index in what:
        (trouble / f"simulate_{index}").unlink(missing_ok=True)
    assert finished(home, name).state is RequestState.DONE


def test_it_is_taken_back_and_goes_on(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    for index in range(3):
        (trouble / f"simulate_{index}").write_text("rest")
    name = placed(site(), 3)
    hand_over(home, name)
    assert not hand_over(home, name).is_new
    cluster.wait(lambda: seen(home, name) == {JobState.RUNNING: 3})
    cluster("scontrol", "suspend", cluster("squeue", "-h", "-r", "-t", "R", "-o", "%A").split()[0])
    cluster.wait(lambda: seen(home, name) == {JobState.RUNNING: 2, JobState.HELD: 1})
    assert cancel(home, name) == 5
    assert set(states(home, name)) == {"CANCELLED"}
    cluster.wait(lambda: not cluster("squeue", "-h").strip())
    for index in range(3):
        (trouble / f"simulate_{index}").unlink()
    assert finished(home, name).state is RequestState.DONE


def test_somebody_else_cancels_it(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_1").write_text("rest")
    name = placed(site(), 2, per_merge=1)
    hand_over(home, name)
    cluster.wait(lambda: seen(home, name) == {JobState.DONE: 1, JobState.RUNNING: 1})
    # accounts are a moment behind
    cluster("scancel", *cluster("squeue", "-h", "-r", "-o", "%i").split())
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.CANCELLED, outcome.failures
    assert outcome.stopped is not None
    assert outcome.stopped.startswith("cancelled in Slurm")
    (trouble / "simulate_1").unlink()
    assert finished(home, name).state is RequestState.DONE


def test_a_crash_around_the_submission_hands_nothing_over_twice(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(site(), 2)
    submit = client.Slurm.submit

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    def dies_after(*words: Any) -> int:
        submit(*words)
        raise KeyboardInterrupt

    before = set(cluster("squeue", "-h", "-t", "all", "-o", "%A").split())
    for owner, method, how in (
        (client.Slurm, "submit", dies),
        (client.Slurm, "submit", dies_after),
        (Submissions, "handed_over", dies),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, how)
            with pytest.raises(KeyboardInterrupt):
                hand_over(home, name)
        assert set(states(home, name)) == {"SUBMITTING"}
    again = hand_over(home, name)
    assert (again.batch_id is not None, again.is_new) == (True, False), "it was there already"
    assert follow(home, name, Display()).state is RequestState.DONE
    assert len(set(cluster("squeue", "-h", "-t", "all", "-o", "%A").split()) - before) == 3, (
        "two jobs, a merge"
    )


def test_a_controller_that_is_down_is_told_of_in_one_line(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("rest")
    name, late = placed(site(), 2), placed(site(), 1)
    hand_over(home, name)
    cluster.wait(lambda: seen(home, name) == {JobState.DONE: 1, JobState.RUNNING: 1})
    cluster.wait_till_saved()
    cluster.module.stop("slurmctld", signal.SIGKILL)
    try:
        found = status.detail(home, name)
        assert set(found.stages[0].states) == {JobState.DONE, JobState.UNKNOWN}
        assert "Unable to contact slurm controller" in found.warnings[0]
        for refused in (lambda: hand_over(home, late), lambda: cancel(home, name)):
            with pytest.raises(StorageError, match=r"^Slurm: \w+: Unable to contact slurm controller[^\n]*$"):
                refused()
    finally:
        cluster.module.start("slurmctld")
        (trouble / "simulate_0").unlink()
    cluster.wait(cluster.module.is_answering)
    cluster.wait(lambda: seen(home, name) == {JobState.DONE: 1, JobState.RUNNING: 1})
    assert cancel(home, name) == 2
    assert finished(home, late).state is RequestState.DONE


def test_a_name_with_odd_characters_and_jobs_beyond_a_limit(
    cluster: RunningCluster, placed: Placed, site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "it's a 100% $HOME, é"))
    monkeypatch.setenv("SBATCH_PARTITION", "no-such")
    odd = open_home()
    name = placed(site(most_jobs=3), 5, where=odd)
    assert finished(odd, name).state is RequestState.DONE
    assert len(stored(odd)) == 3


def test_gpus_are_asked_for_by_gres(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("rest")
    name = placed(site(gpus=Gpus(type="a100"), partition="gpu", merge_partition="cpu", qos="normal"), 1)
    hand_over(home, name)
    cluster.wait(lambda: seen(home, name) == {JobState.RUNNING: 1})
    asked = cluster("squeue", "-h", "-r", "-o", "%P %b %N", "--sort=i").splitlines()
    assert asked == ["gpu gres:gpu:a100:1 node-a", "cpu N/A "]
    assert cancel(home, name) == 2


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"partition": "nope"}, "invalid partition specified: nope"),
        ({"gpus": Gpus(type="v100")}, "Requested node configuration is not available"),
        ({"constraint": "huge"}, "Invalid feature specification"),
    ],
)
def test_what_slurm_refuses_is_told_in_one_line(
    cluster: RunningCluster, home: Home, placed: Placed, site: MakeSite, rules: dict[str, Any], told: str
) -> None:
    name = placed(site(**rules), 1)
    for _ in range(2):
        with pytest.raises(ConfigError) as error:
            hand_over(home, name)
        line = str(error.value)
        assert line.startswith("Slurm does not take such jobs: ")
        assert told in line
        assert "\n" not in line
    found = {one.what: one for one in SlurmBatch(site(**rules)).check()}
    assert not found["match"].is_fine
    assert told in found["match"].detail


def test_what_of_a_site_can_be_reached(cluster: RunningCluster, site: MakeSite) -> None:
    found = {one.what: one for one in SlurmBatch(site()).check()}
    assert tuple(found) == site().rules.looks_at
    assert all(one.is_fine for one in found.values()), found
    assert found["accounting"].detail == "sacct answers"
    assert "using 1 processors on nodes node-" in found["match"].detail


def test_a_cluster_that_keeps_no_accounts(
    cluster_without_accounts: RunningCluster, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("InputError")
    (trouble / "simulate_2").write_text("rest")
    name = placed(site(), 3, per_merge=1)
    hand_over(home, name)
    wait = cluster_without_accounts.wait
    wait(lambda: seen(home, name) == {JobState.FAILED: 1, JobState.DONE: 1, JobState.RUNNING: 1})
    cluster_without_accounts("scancel", f"--user={os.getuid()}")
    outcome = follow(home, name, Display())
    # by whom it was cancelled, only accounts would know
    assert states(home, name) == ["FAILED", "DONE", "FAILED"]
    assert {failure.exit_code: failure.error for failure in outcome.failures} == {
        10: "trouble in simulate 0",
        20: "cancelled in Slurm",
    }
    (accounting,) = (one for one in SlurmBatch(site()).check() if one.what == "accounting")
    assert (accounting.is_fine, accounting.detail.partition(":")[0]) == (True, "off")
    for path in trouble.iterdir():
        path.unlink()
    assert finished(home, name).state is RequestState.DONE


def test_software_in_a_container(
    cluster: RunningCluster,
    home: Home,
    placed: Placed,
    site: MakeSite,
    fake_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: Callable[[str], None],
) -> None:
    monkeypatch.syspath_prepend(str(TESTS / "peers" / "htcondor"))
    pool = importlib.import_module("pool")
    if not pool.is_unpacked(pool.containers()):
        lacking(f"Apptainer in {pool.containers()} (tests/peers/htcondor/pool.py unpack)")
    # an image that holds next to nothing, into which the host's programs are bound
    monkeypatch.setenv("FLASHSIM_CONDOR_DIR", str(tmp_path / "containers"))
    pool.write_image()
    python = pool.image() / IMAGE_PYTHON.lstrip("/")
    python.parent.mkdir(parents=True)
    script = fake_python.read_text(encoding="utf-8")
    python.write_text(script.replace("#!/bin/sh\n", '#!/bin/sh\necho "in $0" >&2\n'), encoding="utf-8")
    python.chmod(0o755)
    software = Software(
        python=IMAGE_PYTHON,
        image=str(pool.image()),
        runner=str(pool.containers() / "usr" / "bin" / "apptainer"),
        binds=tuple(map(str, pool._bound())),
        # root of a machine that is a container itself may not do all that Apptainer asks for
        setup=("export APPTAINER_USERNS=1",),
    )
    name = placed(site(software=software), 2)
    assert finished(home, name).state is RequestState.DONE, status.detail(home, name)
    assert f"in {IMAGE_PYTHON}" in (home.folder(name).logs / "simulate_000000.1.1.log").read_text()


def seen(home: Home, name: str) -> dict[JobState, int]:
    """Simulate jobs by state, as status tells them."""
    return status.detail(home, name).stages[1].states
