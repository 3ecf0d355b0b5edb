"""Whatever ends a task, `retry` alone leads to the dataset that this machine makes; CRAB is a stand-in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.engines import LocalRules
from flashsim_prod.core.site import Site
from flashsim_prod.core.states import Stage
from flashsim_prod.grid.batch.base import Submission
from flashsim_prod.grid.batch.crab.recovery import known_tasks
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home

#: 6 simulate jobs of 10 events
SIX = ("--events", "60", "--oversample", "10", "--events-per-job", "10")
#: and 1 where a job more shows nothing more
ONE = ("--events", "10", "--oversample", "10", "--events-per-job", "10")
Cli = Callable[..., Any]


@pytest.fixture
def quick_site(quick_site: Site) -> Site:
    """All jobs in one task."""
    return quick_site.model_copy(update={"rules": quick_site.rules.model_copy(update={"jobs_per_task": 10})})


@pytest.fixture
def local_events(cli: Cli, quick_site: Site, fake_physics: Any, tmp_path: Path) -> Callable[[], bytes]:
    """A function that makes the same request on this machine; all its events."""

    def make() -> bytes:
        here = tmp_path / "here.yaml"
        changes = {"rules": LocalRules(), "engine": "local", "name": "here", "slots": 1}
        here.write_text(quick_site.model_copy(update=changes).to_yaml())
        words = ("request", "ttbar", *SIX, "--site", str(here), "--scope", "user.jdoe", "--seed", "7")
        ended = cli(*words, "--name", "here", "--json", "--yes")
        assert ended.code == 0, ended.err
        return _events(ended)

    return make


def _events(ended: Any) -> bytes:
    (file,) = json.loads(ended.out)["files"]
    return Path(file["pfn"]).read_bytes()


def _states(home: Home) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs("toy", Stage.SIMULATE)]


def _tasks(crab_sim: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((crab_sim / "tasks").glob("*.json"))]


def _kill(crab_sim: Path, number: int) -> None:
    """As somebody who types ``crab kill``, and the server a moment later."""
    (path,) = (crab_sim / "tasks").glob(f"*_{number:03d}.json")
    task = json.loads(path.read_text())
    for job in task["jobs"].values():
        job["State"] = "killed" if job["State"] == "idle" else job["State"]
    path.write_text(json.dumps(task | {"server": "KILLED", "command": "KILL", "killed": True}))


def _plain(text: str) -> str:
    return " ".join(text.split())


def test_a_task_that_fails_in_every_way_and_is_purged_ends_in_the_local_dataset(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, local_events: Callable[[], bytes]
) -> None:
    """One job fails for memory, one loses its output, one is killed with its task, which is then purged."""
    (crab_sim / "trouble" / "000.1").write_text("memory")
    (crab_sim / "trouble" / "000.2").write_text("lost")
    assert order(*SIX).code == 0
    for _ in range(5):
        cli("status", "toy")
    _kill(crab_sim, 0)
    told = json.loads(cli("status", "toy", "--json").out)["failures"]
    causes = " ".join(failure["error"] for failure in told)
    assert "Not retrying job due to excessive memory use" in causes
    assert "is KILLED; CRAB says killed" in causes
    assert _states(home) == ["FAILED", "FAILED", "DONE", "DONE", "DONE", "FAILED"]
    (crab_sim / "age.000").write_text("47")
    ended = cli("retry", "toy", "--wait", "--json")
    assert ended.code == 0, ended.err
    assert "jobs 1-2,6 need a new task: CRAB has purged the task" in _plain(ended.err)
    first, second = _tasks(crab_sim)
    assert [job["State"] for job in second["jobs"].values()] == ["finished"] * 3
    assert (first["memory"], second["memory"]) == (2500, 3000), "one of them was stopped for it"
    assert _events(ended) == local_events()


@pytest.mark.slow
def test_with_real_physics_the_dataset_after_all_that_is_event_for_event_the_local_one(
    cli: Cli,
    home: Home,
    real_site: Site,
    crab_sim: Path,
    tmp_path: Path,
    event_digests: Callable[[Path], dict[str, str]],
) -> None:
    """One job fails for memory, one loses its output, one is killed with its task, which is then purged."""
    rules = real_site.rules.model_copy(update={"jobs_per_task": 10})
    local = {"rules": LocalRules(), "engine": "local", "name": "here", "slots": 1}
    sites = {"toy": real_site.model_copy(update={"rules": rules}), "here": real_site.model_copy(update=local)}
    for name, site in sites.items():
        (tmp_path / f"{name}.yaml").write_text(site.to_yaml())
    (crab_sim / "trouble" / "000.1").write_text("memory")
    (crab_sim / "trouble" / "000.2").write_text("lost")

    def place(name: str) -> Any:
        site = ("--site", str(tmp_path / f"{name}.yaml"), "--scope", "user.jdoe", "--seed", "7")
        return cli("request", "ttbar", *SIX, *site, "--name", name, "--json", "--yes")

    assert place("toy").code == 0
    for _ in range(5):
        cli("status", "toy")
    _kill(crab_sim, 0)
    cli("status", "toy")
    assert _states(home) == ["FAILED", "FAILED", "DONE", "DONE", "DONE", "FAILED"]
    (crab_sim / "age.000").write_text("47")
    made = {"toy": cli("retry", "toy", "--wait", "--json"), "here": place("here")}
    assert [ended.code for ended in made.values()] == [0, 0]
    assert [len(task["jobs"]) for task in _tasks(crab_sim)] == [6, 3]
    files = {name: json.loads(ended.out)["files"] for name, ended in made.items()}
    there, here = (event_digests(Path(file["pfn"])) for (file,) in files.values())
    assert there == here
    assert len(here) > 200


def test_a_purged_task_is_over_and_what_storage_has_counts(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, local_events: Callable[[], bytes]
) -> None:
    assert order(*SIX).code == 0
    folder = home.folder("toy")
    for _ in range(3):
        cli("status", "toy")
    # nobody looked since: what is home is as good as what only storage has
    folder.report(Stage.SIMULATE, 1).unlink()
    with Ledger(home.ledger) as ledger:
        assert ledger.jobs("toy", Stage.SIMULATE)[2].state == "DONE"
    (crab_sim / "age.000").write_text("41")
    seen = cli("status", "toy")
    assert "CRAB has purged it; what storage has of its jobs counts" in _plain(seen.out)
    assert _states(home) == ["DONE"] * 3 + ["FAILED"] * 3
    ended = cli("retry", "toy", "--wait", "--json")
    assert ended.code == 0, ended.err
    assert [len(task["jobs"]) for task in _tasks(crab_sim)] == [6, 3]
    assert _events(ended) == local_events()


def test_finished_jobs_without_outputs_and_failed_ones_go_their_own_ways(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, local_events: Callable[[], bytes]
) -> None:
    (crab_sim / "trouble" / "000.2").write_text("lost")
    (crab_sim / "trouble" / "000.4").write_text("memory")
    assert order(*SIX, "--wait").code == 17
    # in the new task, it is lost again
    (crab_sim / "trouble" / "001.1").write_text("lost")
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 17
    assert (
        "job 2 needs a new task: CRAB counts them as finished, but their outputs are not there" in ended.err
    )
    first, second = _tasks(crab_sim)
    assert [job["Retries"] for job in first["jobs"].values()] == [0, 0, 0, 1, 0, 0]
    assert len(second["jobs"]) == 1
    submission = _submission(home)
    owners = {task.task.index(n): task.task.number for task in known_tasks(submission) for n in task.owned}
    assert owners == {0: 0, 1: 1, 2: 0, 3: 0, 4: 0, 5: 0}
    ended = cli("retry", "toy", "--wait", "--json")
    assert ended.code == 0, ended.err
    assert len(_tasks(crab_sim)) == 3
    assert _events(ended) == local_events()


def _submission(home: Home) -> Submission:
    from flashsim_prod.production.order.folder import load_request

    folder = home.folder("toy")
    return Submission(load_request(folder.request), folder.request, home.path, folder.batch, ())


def test_a_task_that_is_too_old_is_left_with_the_words_of_the_server(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, local_events: Callable[[], bytes]
) -> None:
    (crab_sim / "trouble" / "000.6").write_text("memory")
    assert order(*SIX, "--wait").code == 17
    (crab_sim / "age.000").write_text("24")
    ended = cli("retry", "toy", "--wait", "--json")
    assert ended.code == 0, ended.err
    assert "Resubmission of the task is not possible since less than 7 days" in _plain(ended.err)
    assert f"all of it: {home.folder('toy').batch}/crab_client.log" in _plain(ended.err)
    assert "A task expires 30.0 days" in (home.folder("toy").batch / "crab_client.log").read_text()
    assert [len(task["jobs"]) for task in _tasks(crab_sim)] == [6, 1]
    assert _events(ended) == local_events()


@pytest.mark.parametrize("state", ["SUBMITREFUSED", "SUBMITFAILED"])
def test_a_task_that_the_server_refuses_is_told_with_its_page(
    order: Cli, cli: Cli, crab_sim: Path, state: str
) -> None:
    (crab_sim / "refuse").write_text(state)
    assert order(*ONE).code == 0
    seen = json.loads(cli("status", "toy", "--json").out)
    assert any(
        f"{state}; its page says why: https://cmsweb.cern.ch/crabserver/ui/task/" in note
        for note in seen["notes"]
    )
    assert "see https://cmsweb.cern.ch/crabserver/ui/task/" in seen["failures"][0]["error"]
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err


def test_jobs_that_wait_are_named_and_waited_for(order: Cli, cli: Cli, crab_sim: Path) -> None:
    for number, word in ((1, "cooloff"), (2, "held"), (3, "unsubmitted")):
        (crab_sim / "trouble" / f"000.{number}").write_text(word)
    assert order(*SIX).code == 0
    seen = cli("retry", "toy")
    assert "(cooloff: 1; held: 2; unsubmitted: 3)" in _plain(seen.out + seen.err)
    assert cli("retry", "toy", "--wait").code == 0
    assert len(_tasks(crab_sim)) == 1


def test_a_status_that_fails_is_told_with_its_cause(order: Cli, cli: Cli, home: Home, crab_sim: Path) -> None:
    assert order(*ONE).code == 0
    (crab_sim / "cacheless.000").touch()
    assert "where its jobs stand is not known" in cli("status", "toy").out
    ended = cli("retry", "toy")
    assert ended.code == 20
    assert "status_cache.pkl not found or corrupted (all of it: " in ended.err
    assert "status_cache.pkl" in (home.folder("toy").batch / "crab_client.log").read_text()


@pytest.mark.parametrize("folder", ["/store/user/jdoe/flashsim", "/store/user/rucio/jdoe"])
def test_a_folder_where_one_may_not_write_is_told_before_anything_is_submitted(
    order: Cli, cli: Cli, crab_sim: Path, tmp_path: Path, folder: str
) -> None:
    site = tmp_path / "my_crab.yaml"
    site.write_text(site.read_text().replace("lfn_base: /store/user/{user}/flashsim", f"lfn_base: {folder}"))
    (crab_sim / "readonly").write_text(folder)
    ended = order(*ONE)
    assert (ended.code, _tasks(crab_sim)) == (20, [])
    why = (
        "Unable to write in"
        if "rucio" not in folder
        else "You do not have any Rucio quota at site T2_IT_Pisa"
    )
    assert why in _plain(ended.err)
    (crab_sim / "readonly").unlink()
    assert cli("retry", "toy", "--wait").code == 0


def test_merged_files_do_not_go_where_only_rucio_writes(order: Cli, crab_sim: Path, tmp_path: Path) -> None:
    site = tmp_path / "my_crab.yaml"
    lines = [line for line in site.read_text().splitlines() if "user_lfn" not in line]
    site.write_text("\n".join(lines) + "\n")
    ended = order(*ONE)
    assert (ended.code, _tasks(crab_sim)) == (2, [])
    assert "writes merged files into /store/user/rucio/jdoe at T2_IT_Pisa, where only Rucio may" in ended.err


def test_the_plan_says_where_outputs_land(order: Cli) -> None:
    told = _plain(order(*ONE, "--dry-run").err)
    assert (
        "outputs of jobs land in /store/user/jdoe/flashsim at T2_IT_Pisa, merged files in "
        "/store/user/jdoe/flashsim at T2_IT_Pisa" in told
    )


def test_outputs_under_a_rule_are_not_removed_behind_its_back(
    order: Cli, cli: Cli, crab_sim: Path, tmp_path: Path
) -> None:
    site = tmp_path / "my_crab.yaml"
    rucio = "/store/user/rucio/{user}/flashsim"
    site.write_text(site.read_text().replace("lfn_base: /store/user/{user}/flashsim", f"lfn_base: {rucio}"))
    ended = order(*ONE, "--wait")
    assert ended.code == 0, ended.err
    assert "outputs of jobs are Rucio's" in _plain(ended.err)
    (task,) = _tasks(crab_sim)
    digest = hashlib.md5(task["name"].encode()).hexdigest()
    stem = f"rucio rule remove user.jdoe:/FakeDataset/fakefile-FakePublish-{digest}"
    # each file is in two containers with a rule of its own
    endings = (f"_TRANSFER.{digest[:8]}", "_output.root", "_report.json")
    removals = [f"{stem}{ending}/USER --rses T2_IT_Pisa" for ending in endings]
    # where it is done, and for whoever asks later
    assert [line.strip() for line in ended.err.splitlines() if "rucio rule" in line] == removals
    notes = json.loads(cli("status", "toy", "--json").out)["notes"]
    assert [note.strip() for note in notes if "rucio rule" in note] == removals


def test_a_site_check_fails_where_something_is_missing(
    order: Cli, cli: Cli, crab_sim: Path, tmp_path: Path
) -> None:
    site = str(tmp_path / "my_crab.yaml")
    words = ("sites", "check", site, "--only", "crab", "--only", "landing")
    ended = cli(*words)
    assert ended.code == 0, ended.err
    assert "CRAB client v3.260206" in ended.out
    assert "Able to write in /store/user/jdoe/flashsim on site T2_IT_Pisa" in ended.out
    (crab_sim / "readonly").write_text("/store/user/jdoe")
    ended = cli(*words)
    assert ended.code == 22
    assert "Unable to write in /store/user/jdoe/flashsim on site T2_IT_Pisa" in ended.out
