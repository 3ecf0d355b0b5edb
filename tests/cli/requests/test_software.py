"""``software``: recipes of what nodes need, pinned, and whether a site's software can run a job."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsim_prod import __version__, resources
from flashsim_prod.core.engines import IMAGE_PYTHON
from flashsim_prod.core.site import Site
from flashsim_prod.errors import NodeError
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.library import SITES, find_site
from flashsim_prod.production.views import recipes
from flashsim_prod.software import code_digest

from ..conftest import Cli

RECIPES = ("containerfile", "apptainer", "cvmfs", "conda")


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_are_of_this_version_and_pinned(cli: Cli, recipe: str) -> None:
    ended = cli("software", recipe)
    assert ended.code == 0, ended.err
    assert f"flashsim-prod {__version__} and all that it needs" in ended.out
    assert f"flashsim_prod-{__version__}-py3-none-any.whl" in ended.out
    for name in ("numpy", "awkward", "uproot", "torch", "rucio-clients"):
        assert f"{name}=={metadata.version(name).partition('+')[0]}" in ended.out
    assert "nvidia-cu" not in ended.out, "torch pins its own parts"
    assert cli("software", recipe, "--json").json["text"] == ended.out


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_gpus_torch_comes_from_its_own_index(cli: Cli, recipe: str) -> None:
    text = cli("software", recipe, "--cpu").out
    assert text.count("torch==") == 1
    assert "https://download.pytorch.org/whl/cpu" in text
    assert "download.pytorch.org" not in cli("software", recipe).out


def test_what_is_pinned_is_what_is_needed() -> None:
    found = recipes.pins()
    # direct ones, and those that they need; neither tests' nor this package itself
    assert {"typer", "click", "awkward-cpp", "pydantic-core", "nvidia-ml-py"} <= set(found)
    assert not {"pytest", "ruff", "flashsim-prod", "hatchling"} & set(found)
    assert all("+" not in version for version in found.values())


def test_recipes_can_be_read_by_what_they_are_for(cli: Cli, tmp_path: Path) -> None:
    environment = yaml.safe_load(cli("software", "conda").out)
    assert environment["dependencies"][0] == f"python={sys.version_info[0]}.{sys.version_info[1]}"
    assert environment["dependencies"][2]["pip"][-1].startswith("./flashsim_prod-")
    script = tmp_path / "cvmfs.sh"
    script.write_text(cli("software", "cvmfs").out)
    subprocess.run(["sh", "-n", script], check=True)
    done = subprocess.run(
        ["sh", script, "sw.example.org", sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"there is no flashsim_prod-{__version__}-py3-none-any.whl in this folder")
    definition = cli("software", "apptainer").out
    # while an image is built, its /tmp is that of the machine, without what was copied there
    assert "/tmp/" not in definition
    post = definition.partition("%post\n")[2].partition("%environment")[0]
    subprocess.run(["sh", "-n"], input=post, text=True, check=True)
    # no line that goes on ends in nothing
    for recipe in ("containerfile", "apptainer"):
        assert "\\\n\n" not in cli("software", recipe).out


def test_nothing_is_pinned_by_guess(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    found = metadata.distribution

    def lacks(name: str) -> metadata.Distribution:
        if name == "awkward-cpp":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", lacks)
    ended = cli("software", "conda")
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint.startswith("awkward-cpp is not installed in ")


def test_all_site_files_name_one_image_that_is_to_be_made() -> None:
    software = [
        found for name in SITES.names() if (found := find_site(name).rules.node_software()).image is not None
    ]
    assert len(software) >= 3
    (image,) = {one.image for one in software}
    # a name that can belong to nobody, so that no file promises an image that is not there
    assert image == f"/cvmfs/unpacked.cern.ch/registry.example.org/you/flashsim-prod:{__version__}"
    assert {one.python for one in software} == {IMAGE_PYTHON}
    for path in resources.site_configs_dir().glob("*.yaml"):
        named = [line for line in path.read_text().splitlines() if "/cvmfs/unpacked" in line]
        assert all(image in line for line in named)


@pytest.mark.parametrize("site", ["lxbatch", "T2_IT_Pisa_gpu"])
def test_a_request_to_a_site_without_its_image_is_refused_first(cli: Cli, home: Home, site: str) -> None:
    ended = cli("request", "ttbar", "--events", "40", "--oversample", "2", "--site", site, "--yes")
    assert ended.code == 2
    assert "/you/flashsim-prod:" in ended.complaint
    assert "so no job could start; make one (flashsim-prod software --help)" in ended.complaint
    assert not list(home.requests.glob("*"))


def _site(tmp_path: Path, like: str, **section: Any) -> str:
    site = find_site(like)
    values = site.model_dump(mode="json")
    values["name"] = "mine"
    values[site.engine] = {**values[site.engine], **section}
    path = tmp_path / "mine.yaml"
    path.write_text(Site.from_mapping(values, "mine.yaml").to_yaml())
    return str(path)


def _python(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


ANSWER = (
    (
        'echo \'FOUND {"python": "3.11.2", "prefix": "/p", "code": "CODE", "packages": '
        '{"torch": ["2.13.0", null], "flashsim_prod": ["VERSION", null]}}\''
    )
    .replace("VERSION", __version__)
    .replace("CODE", code_digest())
)


def test_a_site_whose_software_runs(cli: Cli, tmp_path: Path) -> None:
    python = _python(tmp_path / "python", ANSWER)
    ended = cli("software", "check", _site(tmp_path, "slurm", software={"python": str(python)}))
    assert ended.code == 0, ended.err
    assert [line.split()[:2] for line in ended.out.splitlines()] == [
        ["ok", "interpreter"],
        ["ok", "python"],
        ["ok", "package"],
        ["ok", "imports"],
    ]


def test_software_in_an_archive_is_unpacked_and_asked(cli: Cli, tmp_path: Path) -> None:
    _python(tmp_path / "packed" / "bin" / "python", f'[ "$READY" = yes ] && {ANSWER}')
    with tarfile.open(tmp_path / "e.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "packed", arcname=".")
    software = {"python": "bin/python", "archive": str(tmp_path / "e.tar.gz"), "setup": ["export READY=yes"]}
    ended = cli("software", "check", _site(tmp_path, "htcondor", software=software), "--json")
    assert ended.code == 0, ended.err
    assert [(one["what"], one["is_fine"]) for one in ended.json] == [
        ("archive", True),
        ("python", True),
        ("package", True),
        ("imports", True),
    ]


@pytest.mark.parametrize(
    ("answer", "what", "told"),
    [
        ("exit 3", "python", "does not run: exit code 3"),
        ("echo no library >&2; exit 127", "python", "does not run: no library"),
        (ANSWER.replace(__version__, "9.9"), "package", "flashsim-prod 9.9, but requests are made by"),
        (
            ANSWER.replace(code_digest(), "0" * 12),
            "package",
            f"(code 000000000000), but requests are made by code {code_digest()} here",
        ),
        (
            ANSWER.replace(f'["{__version__}", null]', '[null, "no module"]'),
            "package",
            "it has no flashsim-prod",
        ),
        (
            ANSWER.replace('["2.13.0", null]', '[null, "no libcuda"]'),
            "imports",
            "it lacks torch (no libcuda)",
        ),
        (None, "interpreter", "is no program, seen from this machine"),
    ],
)
def test_a_site_whose_software_runs_no_job(
    cli: Cli, tmp_path: Path, answer: str | None, what: str, told: str
) -> None:
    python = tmp_path / "python"
    if answer is not None:
        _python(python, answer)
    ended = cli("software", "check", _site(tmp_path, "slurm", software={"python": str(python)}))
    assert ended.code == NodeError.exit_code
    assert f"its software runs no job: {what}: " in ended.complaint
    assert told in ended.complaint


def test_what_cannot_be_checked_here_is_said(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.sif"
    site = _site(tmp_path, "slurm", software={"python": IMAGE_PYTHON, "image": str(image)})
    assert f"there is no {image}, seen from this machine" in cli("software", "check", site).complaint
    image.touch()
    monkeypatch.setenv("PATH", "/nowhere")
    complaint = cli("software", "check", site).complaint
    assert "no apptainer on this machine, so the image cannot be opened here" in complaint
    assert "no site 'nosuch'" in cli("software", "check", "nosuch").complaint


def test_this_very_installation_runs_jobs(cli: Cli) -> None:
    ended = cli("software", "check", "local")
    assert ended.code == 0, ended.err
