"""An engine of another distribution: found by its entry point, run to a dataset, shown as any other."""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.cli.main import main
from flashsim_prod.core import engines
from flashsim_prod.core.site import Site
from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.drive import detached
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.models.training import check_hand_over
from flashsim_prod.production.order.library import find_site
from flashsim_prod.production.order.plan import Plan
from tests.batch_systems import TESTS, place_toy

#: what somebody else would publish, and the docs show
PLUGIN = Path(__file__).parent / "slurm_plugin"


def _install(folder: Path, name: str, points: dict[str, str]) -> None:
    """Let a distribution be installed in a folder, as pip would leave it."""
    told = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{engines.GROUP}]", *(f"{engine} = {target}" for engine, target in points.items())]
    (told / "entry_points.txt").write_text("\n".join(lines) + "\n")
    engines._announced.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where further distributions are installed."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    engines._announced.cache_clear()
    yield folder
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("flashsim_minislurm", "broken_engine")
    ]:
        del sys.modules[name]
    engines._announced.cache_clear()


@pytest.fixture
def plugin(installed: Path) -> Path:
    """The plug-in, installed by what its pyproject.toml says."""
    shutil.copytree(PLUGIN / "flashsim_minislurm", installed / "flashsim_minislurm")
    told = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    _install(installed, told["name"], told["entry-points"][engines.GROUP])
    return installed


@pytest.fixture
def slurm(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site of the plug-in, with a stand-in of Slurm that runs jobs on this machine, around fake physics."""
    programs = tmp_path / "bin"
    programs.mkdir()
    sim = TESTS / "peers" / "slurm_sim.py"
    for program in ("sbatch", "squeue", "scancel"):
        _executable(programs / program, f'exec {sys.executable} {sim} {program} "$@"')
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("SLURM_SIM", str(tmp_path / "slurm_sim"))
    (tmp_path / "trouble").mkdir()
    _executable(
        programs / "python-of-the-node",
        f"export PYTHONPATH={TESTS.parent}:{plugin} FAKE_TROUBLE={tmp_path / 'trouble'}\n"
        f'shift 2; exec {sys.executable} {TESTS}/fake_physics.py "$@"',
    )
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.2)
    site = find_site("minislurm").model_dump(mode="json")
    site["minislurm"] |= {"python": str(programs / "python-of-the-node"), "most_jobs": 4}
    return Site.from_mapping(site, "minislurm.yaml")


def _executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _placed(home: Home, site: Site) -> Plan:
    """A request of three simulate jobs and two merge jobs."""
    return place_toy(home, site, 3)


def test_it_runs_a_request_to_its_dataset(home: Home, fake_physics: Any, slurm: Site) -> None:
    plan = _placed(home, slurm)
    assert plan.notes == ("5 jobs, but a user may have 4 in the queue; raise --events-per-job",)
    name = plan.request.name
    handed = detached.hand_over(home, name)
    assert (handed.batch_id, handed.is_new) == ("1", True)
    # at work already: nothing is handed over twice
    assert not detached.hand_over(home, name).is_new
    outcome = detached.follow(home, name, Display())
    assert outcome.state is RequestState.DONE
    assert sum(file.events for file in outcome.files) == 30
    assert len(outcome.files) == 2
    script = (home.folder(name).batch / "job.sh").read_text()
    assert "#SBATCH --partition=batch\n#SBATCH --cpus-per-task=1 --mem=2500\n#SBATCH --time=480\n" in script
    assert "--gpus" not in script


def test_a_job_that_fails_is_a_job_that_failed(
    home: Home, fake_physics: Any, slurm: Site, tmp_path: Path
) -> None:
    (tmp_path / "trouble" / "simulate_2").write_text("InputError")
    name = _placed(home, slurm).request.name
    detached.hand_over(home, name)
    outcome = detached.follow(home, name, Display())
    assert outcome.state is RequestState.FAILED
    (tmp_path / "trouble" / "simulate_2").unlink()
    detached.hand_over(home, name)
    assert detached.follow(home, name, Display()).state is RequestState.DONE


def test_it_is_taken_back(home: Home, fake_physics: Any, slurm: Site, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / "trouble" / f"simulate_{index}").write_text("rest")
    name = _placed(home, slurm).request.name
    detached.hand_over(home, name)
    assert cancel(home, name) == 5
    sim = tmp_path / "slurm_sim"
    assert {path.read_text() for path in sim.glob("*/code")} == {"cancelled"}
    assert len(list(sim.glob("*/code"))) == 5


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_commands_show_it_as_any_other(
    home: Home, slurm: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = _said(capsys, "sites")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "by a small engine" in line] == ["minislurm"]
    assert _said(capsys, "sites", "check", "minislurm", "--only", "slurm")[:2] == (
        0,
        "ok       slurm   0 jobs in the queue\n",
    )
    assert _said(capsys, "sites", "check", "minislurm", "--only", "crab")[0] == 2
    small = ("--events", "40", "--oversample", "4", "--name", "toy")
    code, _, err = _said(capsys, "request", "ttbar", *small, "--site", "minislurm", "--dry-run")
    assert code == 0, err
    assert "about" in err
    assert "on minislurm (rates" in err
    assert (home.folder("toy").batch / "job.sh").is_file()
    monkeypatch.setenv("PATH", "")
    code, out, _ = _said(capsys, "sites", "check", "minislurm", "--only", "slurm")
    assert (code, "there is no 'squeue' on this machine" in out) == (22, True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"minislurm": None}, "engine minislurm and the section 'minislurm' go together"),
        ({"htcondor": {}}, "engine htcondor and the section 'htcondor' go together"),
        (
            {"minislurm": {"partitio": "x"}},
            "the key 'minislurm.partition' is missing; unknown key 'minislurm.partitio'; did",
        ),
        (
            {"minislurm": {"partition": "x", "limit_min": 60}},
            "resources.walltime_min: partition x gives at most 60",
        ),
        ({"device": "cuda"}, "device cuda needs a section minislurm.gpus that asks for one"),
        (
            {"minislurm": {"partition": "x", "gpus": 1}, "device": "auto"},
            "device must be cuda where GPUs are asked",
        ),
        ({"slots": 0}, "slots must say how many jobs"),
        ({"minislurn": {"partition": "x"}}, "unknown key 'minislurn'; did you mean 'minislurm'?"),
        ({"engine": None}, "mine.yaml: engine: None is no text"),
        ({"local": {}}, "mine.yaml: unknown key 'local'"),
        ({"rules": {"partition": "x"}}, "unknown key 'rules'"),
        # all that is wrong is told
        (
            {"minislurm": {"partition": 1}, "slots": -1},
            "equal to 0; minislurm.partition: 1 is no text",
        ),
    ],
)
def test_its_section_is_checked_key_by_key(plugin: Path, change: dict[str, Any], complaint: str) -> None:
    site = {**find_site("minislurm").model_dump(mode="json"), **change}
    with pytest.raises(ConfigError) as error:
        Site.from_mapping(site, "mine.yaml")
    assert str(error.value).startswith("mine.yaml: ")
    assert complaint in str(error.value)


def test_requests_are_read_back_as_they_were_written(plugin: Path) -> None:
    site = find_site("minislurm")
    assert Site.from_yaml(site.to_yaml(), "again.yaml") == site
    assert site.to_yaml().endswith("\n  python: '{python}'\n")
    assert "htcondor: null\ncrab: null\nminislurm:\n  partition: batch\n" in site.to_yaml()


def test_it_says_that_it_does_not_train(plugin: Path, tmp_path: Path) -> None:
    for name in ("minislurm", "local", "crab"):
        with pytest.raises(RequestError, match=rf"^site {name}: its engine '{name}' does not train"):
            check_hand_over(find_site(name), tmp_path, tmp_path / "bundle", anew=False)


def _line(capsys: pytest.CaptureFixture[str], site: Path | str) -> str:
    """The one line that a command with a site that cannot be used ends with."""
    code, _, err = _said(capsys, "request", "ttbar", "--events", "10", "--site", str(site), "--dry-run")
    assert code == 2
    (line,) = err.splitlines()
    return line.removeprefix("error: ")


def _site_of(engine: str, path: Path) -> Path:
    text = (PLUGIN / "flashsim_minislurm" / "site_configs" / "minislurm.yaml").read_text()
    path.write_text(text.replace("minislurm", engine), encoding="utf-8")
    return path


def test_an_engine_that_nobody_provides(
    home: Home, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _site_of("pbs", tmp_path / "pbs.yaml")
    there = "crab, htcondor, local, minislurm, slurm"
    line = f"{path}: engine: no engine 'pbs' is installed; there are {there}; others"
    assert _line(capsys, path).startswith(line)


def test_two_engines_of_one_name(home: Home, plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _install(plugin, "other-slurm", {"minislurm": "flashsim_minislurm.section:SlurmRules"})
    told = _line(capsys, "minislurm")
    assert (
        "engine 'minislurm' is in flashsim-minislurm and in other-slurm; uninstall all but one" in told
        or ("engine 'minislurm' is in other-slurm and in flashsim-minislurm; uninstall all but one" in told)
    )
    assert find_site("htcondor").engine == "htcondor"
    _install(plugin, "my-pool", {"htcondor": "flashsim_minislurm.section:SlurmRules"})
    assert "engine 'htcondor' is in flashsim-prod and in my-pool" in _line(capsys, "htcondor")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("broken_engine.section:Rules", "ModuleNotFoundError: No module named 'no_such_client'"),
        ("broken_engine:Rules", "AttributeError: module 'broken_engine' has no attribute 'Rules'"),
        ("broken_engine:dict", "is no kind of EngineRules"),
    ],
)
def test_an_engine_that_cannot_be_loaded(
    home: Home, installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, why: str
) -> None:
    (installed / "broken_engine").mkdir()
    (installed / "broken_engine" / "__init__.py").write_text("dict = dict\n")
    (installed / "broken_engine" / "section.py").write_text("import no_such_client\n")
    _install(installed, "broken-engine", {"pbs": target})
    told = _line(capsys, _site_of("pbs", tmp_path / "pbs.yaml"))
    assert "engine 'pbs' of broken-engine" in told
    assert why in told
    # who does not use it is not troubled
    assert find_site("local").engine == "local"


def test_the_engines_of_this_package_need_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    engines._announced.cache_clear()
    try:
        assert engines.engine_names() == ["crab", "htcondor", "local", "slurm"]
        assert [engines.load_rules(name).__name__ for name in engines.engine_names()] == [
            "CrabRules",
            "HTCondorRules",
            "LocalRules",
            "SlurmRules",
        ]
    finally:
        engines._announced.cache_clear()


def test_the_documentation_shows_these_very_files() -> None:
    page = (TESTS.parent / "docs" / "extend" / "engine.md").read_text(encoding="utf-8")
    files = [path for path in PLUGIN.rglob("*.*") if path.is_file() and "__pycache__" not in path.parts]
    for path in files:
        if path.name != "__init__.py":
            assert f'--8<-- "{path.relative_to(TESTS.parent)}"' in page
