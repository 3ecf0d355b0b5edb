"""What is handed to CRAB: accepted by CMS's own code, complete, small enough, and the same as last time."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod import resources
from flashsim_prod.cli.main import main
from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import BundleRef, InputFile, Request
from flashsim_prod.core.site import Site
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.batch.crab import sandbox
from flashsim_prod.grid.batch.crab.render import recorded_jobs, render, render_recovery
from flashsim_prod.grid.batch.crab.section import CrabAccelerator, CrabSoftware
from flashsim_prod.grid.batch.crab.tasks import recovery_task
from flashsim_prod.grid.batch.crab.telling import removals
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.sandbox import found_in
from flashsim_prod.production.order.library import find_site

Make = Callable[..., Request]
Load = Callable[[str], ModuleType]

GOLDEN = Path(__file__).parent / "golden"
RENDERED = ("PSet.py", "flashsim.sh", "task_000/crabConfig.py")


@pytest.fixture(scope="module")
def crab_rules_of_the_server() -> ModuleType:
    """The stand-in of CRAB, for what it refuses."""
    path = Path(__file__).parents[3] / "peers" / "crab_sim.py"
    spec = importlib.util.spec_from_file_location("crab_sim", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Request], Path]:
    """A function that renders a request, without packing the package; the folder."""

    def write(request: Request) -> Path:
        monkeypatch.setattr(
            "flashsim_prod.grid.batch.crab.render.pack_package",
            lambda target, bundle: target.write_bytes(b"packed"),
        )
        file = tmp_path / "request.yaml"
        file.write_text(request.to_yaml())
        render(request, file, tmp_path / "batch")
        return tmp_path / "batch"

    return write


def _with(site: Site, **changes: Any) -> Site:
    return site.model_copy(update={"rules": site.rules.model_copy(update=changes)})


@pytest.mark.parametrize("name", ["crab", "crab_gpu"])
def test_a_dry_run_writes_what_it_wrote_last_time(
    home: Home, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = (
        "request ttbar --events 3M --oversample 10 --seed 7 --scope user.jdoe --name golden --dry-run --site"
    )
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), name])
    assert ended.value.code == 0
    folder = home.folder("golden").batch
    assert "Written, not started" in capsys.readouterr().out
    for file in RENDERED:
        text = (folder / file).read_text().replace(str(home.path), "HOME")
        # it changes with the bundle
        text = re.sub(r"(?<=golden_)[0-9a-f]{8}(?=_)", "DIGEST", text)
        last_time = GOLDEN / name / f"{Path(file).name}.txt"
        if os.environ.get("FLASHSIM_PROD_GOLDEN") == "write":
            last_time.write_text(text)
        assert text == last_time.read_text(), f"{last_time} differs"
    size = sandbox.check_size(list((folder / "sandbox").iterdir()))
    assert 2**20 < size < 22e6, "the package with its bundles, students too, and no more"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"whitelist": ("T2_IT_*", "T2_DE_DESY"), "blacklist": ("T3_US_*",)},
        {"vo_group": "becms", "vo_role": "production"},
        {"accelerator": CrabAccelerator()},
        {"accelerator": CrabAccelerator(memory_mb=8000, minimum_capability="7.0", runtime="12.4")},
        {"software": CrabSoftware(python="/usr/bin/python3", container="/cvmfs/unpacked.cern.ch/image")},
    ],
    ids=["plain", "lists", "vo", "gpu", "some gpu", "container"],
)
def test_wmcore_loads_every_configuration_and_crab_knows_every_parameter(
    crab_request: Make,
    rendered: Callable[[Request], Path],
    wmcore: Load,
    crab_rules_of_the_server: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    load = wmcore("WMCore.Configuration").loadConfigurationFile
    site = crab_request().site
    device = Device.CUDA if "accelerator" in changes else Device.CPU
    site = _with(site.model_copy(update={"device": device}), **changes)
    request = crab_request(site=site, gen_events=100, per_job=20, per_task=3)
    folder = rendered(request)
    monkeypatch.chdir(folder)
    for number, units in enumerate((600, 400)):
        sys.modules.pop("crabConfig", None)
        config = load(str(folder / f"task_{number:03d}" / "crabConfig.py"))
        crab_rules_of_the_server.check_config(config)
        assert (config.Data.totalUnits, config.Data.unitsPerJob, config.Data.lumisPerFile) == (units, 200, 2)
        assert config.JobType.scriptArgs == [f"first={3 * number}"]
        assert crab_rules_of_the_server.pset_output(config.JobType.psetName, config) == "output.root"
        assert all(Path(file).is_file() for file in (config.JobType.scriptExe, *config.JobType.inputFiles))
        if "accelerator" in changes:
            assert config.Site.requireAccelerator is True
            wanted = changes["accelerator"].parameters()
            assert getattr(config.Site, "acceleratorParams", {}) == wanted
        if "whitelist" in changes:
            assert config.Site.whitelist == ["T2_IT_*", "T2_DE_DESY"]


def test_the_packed_package_is_whole_and_reproducible(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"
    sandbox.pack_package(first, "reference")
    sandbox.pack_package(second, "reference")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        names = archive.getnames()
        assert not [name for name in names if "__pycache__" in name]
        bundles = [name.split("/")[2] for name in names if name.startswith("flashsim_prod/bundles/")]
        assert set(bundles) == {"FORMAT.md", "reference"}, "no others than the request's"
        archive.extractall(tmp_path / "node", filter="data")
    program = "import flashsim_prod.cli.main as m; print(m.__file__); m.main(['cards', '--json'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "node"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, _, cards = done.stdout.partition("\n")
    assert where == str(tmp_path / "node" / "flashsim_prod" / "cli" / "main.py")
    assert '"ttbar"' in cards


def test_a_bundle_of_ones_own_travels_and_is_found(
    crab_request: Make, rendered: Callable[[Request], Path], tmp_path: Path
) -> None:
    mine = tmp_path / "my_bundle"
    shutil.copytree(resources.bundles_dir() / "reference", mine)
    digest = load_bundle(mine).digest
    folder = rendered(crab_request(bundle=BundleRef(path=str(mine), digest=digest)))
    assert "sandbox/my_bundle.tar.gz" in (folder / "sandbox.txt").read_text()
    assert "for archive in flashsim_prod.tar.gz my_bundle.tar.gz; do" in (folder / "flashsim.sh").read_text()
    node = tmp_path / "node"
    with tarfile.open(folder / "sandbox" / "my_bundle.tar.gz") as archive:
        archive.extractall(node, filter="data")
    shutil.rmtree(mine)
    assert load_bundle(find_bundle(found_in(node, str(mine)))).digest == digest


def test_what_crab_would_not_take_is_refused_in_one_line(
    crab_request: Make, rendered: Callable[[Request], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match=r"/data/gen\.root: nodes of CRAB cannot read this"):
        rendered(crab_request(inputs=(InputFile(url="/data/gen.root", entries=100),)))
    rendered(crab_request(inputs=(InputFile(url="root://there//store/gen.root", entries=100),)))
    monkeypatch.setattr(sandbox, "MAX_SANDBOX_BYTES", 1000)
    with pytest.raises(
        RequestError, match=r"CRAB takes 1\.0 kB; the largest part is .*; use a smaller --bundle"
    ):
        rendered(crab_request())


@pytest.mark.parametrize("name", ["crab", "crab_gpu"])
def test_shipped_sites_say_where_a_node_finds_its_software(name: str) -> None:
    site = find_site(name)
    assert (site.rules.software.container or "").startswith("/cvmfs/unpacked.cern.ch/")
    assert site.gpus == (name == "crab_gpu")


class Node:
    """A folder in which a rendered script runs, as on a node."""

    def __init__(self, folder: Path, script: Path, wmcore: Load) -> None:
        self.folder = folder
        self._wmcore = wmcore
        (folder / "flashsim_prod").mkdir(parents=True)
        shutil.copy(script, folder)

    def run(self, *words: str, path: str = "/usr/bin:/bin") -> tuple[int, int]:
        """Exit codes: of the script, and of the report that it left, as CRAB reads it."""
        done = subprocess.run(
            ["./flashsim.sh", *words], cwd=self.folder, env={"PATH": path}, capture_output=True, check=False
        )
        report = self._wmcore("WMCore.FwkJobReport.Report").Report("cmsRun")
        report.parse(str(self.folder / "FrameworkJobReport.xml"), "cmsRun")
        return done.returncode, report.getExitCode()


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_script_reports_also_where_nothing_of_ours_could_start(
    crab_request: Make, rendered: Callable[[Request], Path], wmcore: Load, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    site = _with(crab_request().site, software=CrabSoftware(python=str(python)))
    node = Node(tmp_path / "node", rendered(crab_request(site=site)) / "flashsim.sh", wmcore)
    assert node.run("0", "first=0") == (1, 50113)
    assert node.run("1", "last=0") == (1, 50113)
    # CRAB tries again: at another site, and with more memory
    assert node.run("1", "first=0") == (1, 10034)
    _program(python, "kill -9 $$")
    assert node.run("1", "first=0") == (1, 50115)


def test_a_recovery_task_carries_the_list_of_its_jobs(
    crab_request: Make,
    rendered: Callable[[Request], Path],
    wmcore: Load,
    crab_rules_of_the_server: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    python = _program(tmp_path / "python", f'echo "$@" > {tmp_path}/told; exit 5')
    site = _with(crab_request().site, software=CrabSoftware(python=str(python)))
    request = crab_request(site=site, gen_events=100, per_job=20)
    folder = rendered(request)
    more = site.resources.model_copy(update={"memory_mb": 3000})
    render_recovery(request, folder, recovery_task(request, 1, [4, 2]), more)
    assert recorded_jobs(folder) == {1: (2, 4)}
    monkeypatch.chdir(folder)
    sys.modules.pop("crabConfig", None)
    load = wmcore("WMCore.Configuration").loadConfigurationFile
    config = load(str(folder / "task_001" / "crabConfig.py"))
    crab_rules_of_the_server.check_config(config)
    assert config.JobType.scriptArgs == ["list=jobs.txt"]
    assert config.JobType.maxMemoryMB == 3000
    assert config.General.requestName.endswith("_001")
    sent = [Path(file) for file in config.JobType.inputFiles]
    assert Path("task_001/jobs.txt") in sent
    node = Node(tmp_path / "node", folder / "flashsim.sh", wmcore)
    shutil.copy(folder / "task_001" / "jobs.txt", node.folder)
    node.run("2", "list=jobs.txt")
    assert "--job 4 " in (tmp_path / "told").read_text()
    # its two jobs are all that it has
    assert node.run("3", "list=jobs.txt") == (1, 50113)


def test_the_container_is_entered_with_a_clean_environment(
    crab_request: Make, rendered: Callable[[Request], Path], wmcore: Load, tmp_path: Path
) -> None:
    image, tools = tmp_path / "image", tmp_path / "tools"
    tools.mkdir()
    site = _with(
        crab_request().site.model_copy(update={"device": Device.CUDA}),
        software=CrabSoftware(python="/opt/python", container=str(image)),
        accelerator=CrabAccelerator(),
    )
    node = Node(tmp_path / "node", rendered(crab_request(site=site)) / "flashsim.sh", wmcore)
    assert node.run("3", "first=20") == (1, 10034), "no image"
    image.mkdir()
    assert node.run("3", "first=20") == (1, 10034), "no apptainer"
    _program(tools / "apptainer", f'echo "$@" > {tmp_path}/told; env > {tmp_path}/around; exit 5')
    (node.folder / "FrameworkJobReport.xml").unlink()
    assert node.run("3", "first=20", path=f"{tools}:/usr/bin:/bin") == (1, 50115)
    told = (tmp_path / "told").read_text()
    assert re.match(
        rf"exec --nv --bind /cvmfs --bind \S+ --pwd \S+ {image} /opt/python -m flashsim_prod", told
    )
    assert "--job 22 " in told
    around = dict(line.split("=", 1) for line in (tmp_path / "around").read_text().splitlines())
    assert around["PYTHONPATH"] == str(node.folder)
    assert around["OMP_NUM_THREADS"] == "1"
    assert str(tools) not in around["PATH"]


def test_rules_to_remove_are_those_of_the_owner(crab_request: Callable[..., Request]) -> None:
    def told(base: str) -> tuple[str, ...]:
        site = crab_request().site
        rules = site.rules.model_copy(update={"lfn_base": base})
        request = crab_request(site=site.model_copy(update={"rules": rules}))
        return removals(request, ["260921_221536:jdoe_crab_a"])

    assert told("/store/user/{user}/flashsim") == ()
    assert told("/store/group/higgs/flashsim") == ()
    # /store/group/rucio/NAME is scope group.NAME of account NAME_group
    lines = told("/store/group/rucio/higgs/flashsim")
    assert len(lines) == 4
    assert lines[1].startswith("  rucio --account higgs_group rule remove group.higgs:/FakeDataset/fakefile-")
    assert told("/store/user/rucio/{user}")[1].startswith(
        "  rucio rule remove user.jdoe:/FakeDataset/fakefile-"
    )
