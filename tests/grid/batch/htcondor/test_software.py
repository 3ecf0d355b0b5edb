"""Where jobs find their software: in an archive sent along, or in a container."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import RequestState
from flashsim_prod.grid.batch.htcondor.section import Software
from flashsim_prod.production.home import Home
from tests.batch_systems import finished

from .conftest import RunningPool

Placed = Callable[..., str]
MakeSite = Callable[..., Site]
#: the interpreter in the image
IN_IMAGE = "/opt/flashsim/bin/python"


def test_software_that_is_sent_along(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, tmp_path: Path, fake_python: Path
) -> None:
    (tmp_path / "packed" / "bin").mkdir(parents=True)
    fake_python.rename(tmp_path / "packed" / "bin" / "python")
    archive = tmp_path / "environment.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "packed", arcname=".")
    software = Software(python="bin/python", archive=str(archive))
    name = placed(site(files="transfer", software=software), 2)
    assert finished(home, name).state is RequestState.DONE


@pytest.fixture
def image(pool: RunningPool, fake_python: Path, lacking: Callable[[str], None]) -> Path:
    """A container image whose Python tells, in the log of the job, that it is the image's."""
    if "true" not in pool("condor_status", "-af", "HasSingularity"):
        lacking("Apptainer on the nodes of the pool (it needs user namespaces)")
    folder = pool.folder / "image"
    python = folder / IN_IMAGE.lstrip("/")
    python.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(fake_python, python)
    python.write_text(python.read_text().replace("#!/bin/sh\n", '#!/bin/sh\necho "in $0" >&2\n'))
    return folder


@pytest.mark.parametrize(
    ("said_as", "files"), [("container universe", "transfer"), ("attribute of the job", "shared")]
)
def test_software_in_a_container(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, image: Path, said_as: str, files: str
) -> None:
    submit = {} if said_as == "container universe" else {"MY.SingularityImage": f'"{image}"'}
    name = placed(site(files=files, software=Software(python=IN_IMAGE, image=str(image)), submit=submit), 2)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE, outcome.failures
    log = home.folder(name).logs / "simulate_000000.1.1.log"
    assert f"in {IN_IMAGE}" in log.read_text()


def test_an_image_that_no_node_can_run_is_not_tried_for_ever(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, image: Path, tmp_path: Path
) -> None:
    empty = pool.folder / "image" / "empty"
    empty.mkdir(exist_ok=True)
    where = site(
        files="transfer",
        software=Software(python=IN_IMAGE, image=str(empty)),
        failures={"starts": 2, "avoid_node_min": 0},
    )
    outcome = finished(home, placed(where, 1))
    assert outcome.state is RequestState.FAILED
    (failure,) = outcome.failures
    assert failure.error.startswith("removed: started 2 times, never to its end; lately: ")
