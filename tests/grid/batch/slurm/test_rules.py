"""What Slurm's words mean, and what is done about each kind of end; without a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import ConfigError, StorageError
from flashsim_prod.grid.batch.base import NodeKey
from flashsim_prod.grid.batch.slurm.arrays import Array
from flashsim_prod.grid.batch.slurm.client import Slurm, environment
from flashsim_prod.grid.batch.slurm.engine import SlurmBatch
from flashsim_prod.grid.batch.slurm.judge import Judge, Verdict, tries_of
from flashsim_prod.grid.batch.slurm.records import Record, accounting_line, queue_line
from flashsim_prod.grid.batch.slurm.render import options_of_array, options_of_site
from flashsim_prod.production.drive import detached
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.library import find_site

KEY = NodeKey(Stage.SIMULATE, 5)
MakeSite = Callable[..., Site]


@pytest.mark.parametrize(
    ("line", "state", "reason"),
    [
        ("2_4|PENDING|BeginTime||x", JobState.IDLE, "BeginTime"),
        ("2_4|PENDING|JobHeldUser||x", JobState.HELD, "JobHeldUser"),
        ("2_4|REQUEUE_HOLD|None||x", JobState.HELD, ""),
        ("2_4|COMPLETING|None|node-a|x", JobState.RUNNING, ""),
        ("2_4|SUSPENDED|None|node-a|x", JobState.HELD, ""),
        ("2_4|COMPLETED|None|node-a|x", JobState.DONE, ""),
        ("2_4|TIMEOUT|TimeLimit|node-b|x", JobState.FAILED, "TimeLimit"),
        # of a version to come
        ("2_4|LEVITATING|None|node-b|x", JobState.UNKNOWN, ""),
    ],
)
def test_squeue_in_the_words_of_the_house(line: str, state: JobState, reason: str) -> None:
    found = queue_line(line)
    assert found is not None
    task, record = found
    assert (task, record.state, record.reason, record.name) == ((2, 4), state, reason, "x")


@pytest.mark.parametrize("line", ["4|FAILED|None|node-a|wrap", "2_4|FAILED", "", "2_[0-3]|PENDING|None||x"])
def test_what_is_no_task_of_an_array(line: str) -> None:
    assert queue_line(line) is None


def test_sacct_in_the_words_of_the_house() -> None:
    ((task, record),) = accounting_line("2_1|FAILED|20:0|node-a|None|toy.abc.00000")
    assert (task, record.exit_code, record.host, record.name) == ((2, 1), 20, "node-a", "toy.abc.00000")
    ((_, record),) = accounting_line("2_1|OUT_OF_MEMORY|0:125|node-a|None|x")
    assert (record.word, record.exit_code) == ("OUT_OF_MEMORY", -125)
    found = dict(accounting_line("16_[0-2,7%3]|CANCELLED by 0|0:0|None assigned|None|x"))
    assert list(found) == [(16, 0), (16, 1), (16, 2), (16, 7)]
    assert {(one.word, one.by, one.is_blocked, one.host) for one in found.values()} == {
        ("CANCELLED", "0", False, None)
    }
    ((_, record),) = accounting_line("3_[0]|CANCELLED|0:0|None assigned|Dependency|x")
    assert record.is_blocked
    assert accounting_line("4|COMPLETED|0:0|node-b|None|x") == []


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Verdict]:
    """A function that says what became of a job whose tries ended in the words given."""

    def do(
        *words: str | None, ends: dict[int, str] | None = None, has_accounts: bool = True, **failures: Any
    ) -> Verdict:
        site = find_site("slurm").model_dump(mode="json")
        site["resources"] |= {"memory_mb": 1000}
        site["slurm"]["failures"] |= failures
        arrays, records = [], {}
        (tmp_path / "ends").mkdir(exist_ok=True)
        for number, word in enumerate(words):
            array = Array(tmp_path / f"001.{number:05d}.jobs", f"toy.{number}", (KEY,), number + 1)
            arrays.append(array)
            if word is not None:
                word, _, code = word.partition("=")
                records[number + 1, 0] = Record(word, array.name, "", "n1", int(code) if code else None)
            if ends and number in ends:
                array.end_path(0).write_text(ends[number])
        judge = Judge(Site.from_mapping(site, "x.yaml"), has_accounts=has_accounts)
        return judge.verdict(KEY, tries_of(arrays, records)[KEY])

    return do


@pytest.mark.parametrize(
    ("words", "again", "memory_mb", "exclude", "told"),
    [
        (("TIMEOUT",), True, None, "", "TIMEOUT: longer than 480 min"),
        (("TIMEOUT", "TIMEOUT"), False, None, "", "TIMEOUT"),
        (("OUT_OF_MEMORY",), True, 1500, "", "OUT_OF_MEMORY: more than 1000 MB"),
        (("OUT_OF_MEMORY", "OUT_OF_MEMORY"), True, 2000, "", "OUT_OF_MEMORY: more than 1500 MB"),
        (("OUT_OF_MEMORY",) * 3, False, 2000, "", "OUT_OF_MEMORY: more than 2000 MB"),
        # what was given to it stays
        (("OUT_OF_MEMORY", "NODE_FAIL"), True, 1500, "n1", "NODE_FAIL on n1"),
        (("NODE_FAIL",), True, None, "n1", "NODE_FAIL on n1"),
        (("BOOT_FAIL",), True, None, "n1", "BOOT_FAIL on n1"),
        (("NODE_FAIL",) * 3, False, None, "n1", "NODE_FAIL on n1"),
        (("PREEMPTED",), True, None, "", "PREEMPTED on n1"),
        (("DEADLINE",), False, None, "", "Slurm says DEADLINE"),
        (("REVOKED",), False, None, "", "Slurm says REVOKED"),
        (("CANCELLED",), False, None, "", "cancelled in Slurm"),
        (("FAILED=22",), True, None, "n1", None),
        (("FAILED=21",), False, None, "", None),
        (("FAILED=10",), False, None, "", None),
        (("FAILED=20",), True, None, "", None),
        (("FAILED=20",) * 3, False, None, "", None),
        (("FAILED=-53",), True, None, "n1", "node n1 cannot write below"),
    ],
)
def test_each_end_has_its_rule(
    judged: Callable[..., Verdict],
    words: tuple[str, ...],
    again: bool,
    memory_mb: int,
    exclude: str,
    told: str,
) -> None:
    found = judged(*words, memory_cap_mb=2000)
    assert found.status is not None
    assert (found.state, found.again, found.memory_mb, found.exclude) == (
        JobState.FAILED,
        again,
        memory_mb,
        exclude,
    )
    assert (found.status.reason or "").startswith(told or "")
    assert found.status.starts == len(words)


def test_what_slurm_has_forgotten(judged: Callable[..., Verdict]) -> None:
    assert judged(None, ends={0: "0 n1 1\n"}).state is JobState.DONE
    assert judged(None, ends={0: "10 n1 2\n"}).status == judged("FAILED=10", ends={0: "10 n1 2\n"}).status
    assert judged(None, ends={0: "half a"}).state is JobState.UNKNOWN
    off = judged(None, has_accounts=False)
    assert off.status is not None
    assert off.status.reason is not None
    assert off.status.reason.endswith("and this cluster keeps no accounts")


def test_a_number_that_began_anew_is_another_job(judged: Callable[..., Verdict], tmp_path: Path) -> None:
    array = Array(tmp_path / "001.00000.jobs", "mine", (KEY,), 7)
    tries = tries_of([array], {(7, 0): Record("COMPLETED", "of somebody else")})
    assert tries[KEY][0].record is None


def test_variables_of_users_change_nothing() -> None:
    told = {
        "SBATCH_PARTITION": "x",
        "SLURM_JOB_ID": "1",
        "SQUEUE_FORMAT": "%i",
        "SLURM_CONF": "/c",
        "PATH": "/b",
    }
    assert environment(told) == {"SLURM_CONF": "/c", "PATH": "/b", "LC_MESSAGES": "C"}


def test_the_options_of_jobs() -> None:
    site = find_site("slurm_gpu")
    simulate, merge = (list(options_of_site(site, stage)) for stage in (Stage.SIMULATE, Stage.MERGE))
    assert {"--partition=gpu", "--gres=gpu:a100:1", "--account=project", "--mem=16000M"} <= set(simulate)
    assert "--partition=cpu" in merge
    assert not any("gpu" in option for option in merge)
    array = Array(Path("/a 50%/001.00002.jobs"), "toy.x.2", (KEY, KEY), None)
    options = list(
        options_of_array(site, array, Path("/r"), memory_mb=24000, exclude="n1", after=["4_1", "4_2"])
    )
    assert options[1] == "--array=0-1"
    assert "--output=/a 50%%/ends/001.00002.%a.out" in options
    assert options[-4:] == [
        "--mem=24000M",
        "--exclude=n1",
        "--dependency=afterok:4_1:4_2",
        "--kill-on-invalid-dep=yes",
    ]


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"partiton": "x"}, "unknown key 'slurm.partiton'; did you mean 'partition'?"),
        ({"partition": "a b"}, "slurm.partition: "),
        ({"account": "$(id)"}, "slurm.account: "),
        ({"options": {"array": "0-3"}}, "'array' is set by the rendered files"),
        ({"options": {"--mail-type": "FAIL"}}, "'--mail-type' is no long option of sbatch (without --)"),
        ({"software": {"image": "/x.sif"}}, "python must be a path inside the image"),
        ({"gpus": {"count": 0}}, "slurm.gpus.count: "),
        ({"gpus": {"type": "a100"}}, "device must be cuda where GPUs are asked for"),
        ({"export": ["A=B"]}, "slurm.export"),
    ],
)
def test_the_section_is_checked_key_by_key(section: dict[str, Any], complaint: str) -> None:
    site = find_site("slurm").model_dump(mode="json")
    site |= {"device": "auto" if "gpus" in section else "cpu"}
    site["slurm"] = section
    with pytest.raises(ConfigError) as error:
        Site.from_mapping(site, "mine.yaml")
    assert str(error.value).startswith("mine.yaml: ")
    assert complaint in str(error.value)


def _programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_slurm_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"^there is no 'squeue' on this machine; log in to a login node"):
        Slurm().queue()
    # a request is refused before its folder is written
    with pytest.raises(ConfigError, match=r"^there is no 'sbatch' on this machine"):
        SlurmBatch(find_site("slurm")).check_software()


def test_a_cluster_that_keeps_no_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _programs(tmp_path / "bin", monkeypatch, sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert Slurm().accounted([1]) is None


def test_an_answer_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _programs(tmp_path / "bin", monkeypatch, squeue="exec sleep 30", sbatch="echo hello")
    monkeypatch.setattr("flashsim_prod.grid.batch.slurm.client.PATIENCE_S", 0.2)
    with pytest.raises(StorageError, match=r"^Slurm: squeue had no answer in 0.2 s$"):
        Slurm().queue()
    monkeypatch.setattr("flashsim_prod.grid.batch.slurm.client.PATIENCE_S", 30)
    with pytest.raises(StorageError, match="rather than the number of a job"):
        Slurm().submit([], Path("/x"))


def test_the_rendered_scripts_are_good_shell(
    home: Home, fake_physics: Any, site: MakeSite, placed: Any
) -> None:
    from flashsim_prod.grid.batch.slurm.section import Gpus, Software

    software = Software(image="/my image.sif", python="/usr/bin/python3", setup=("ulimit -c 0",))
    name = placed(site(gpus=Gpus(), device="cpu", software=software), 2)
    detached.render(home, name)
    for stage in ("simulate", "merge"):
        script = home.folder(name).batch / f"{stage}.sh"
        subprocess.run(["sh", "-n", script], check=True)
        text = script.read_text()
        assert "'/my image.sif' /usr/bin/python3" in text
        assert ("--nv" in text) == (stage == "simulate")
        assert ("#SBATCH --gres=gpu:1\n" in text) == (stage == "simulate")
