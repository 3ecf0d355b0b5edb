"""A real simulate job in an image that holds this version, as the recipes lay it out."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from flashsim_prod import resources
from flashsim_prod.core.engines import IMAGE_PYTHON
from flashsim_prod.core.states import RequestState
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.views.recipes import Recipe, write_recipe
from tests.batch_systems import TESTS

from .conftest import RunningPool

_BUILD = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1]))"


@pytest.fixture
def image(pool: RunningPool, lacking: Callable[[str], None], tmp_path: Path) -> Path:
    """What the recipe makes, but for what takes long: packages that flashsim-prod needs are the host's.

    System, interpreter and these packages are bound; the environment in the image and the wheel in it are
    its own.
    """
    if "true" not in pool("condor_status", "-af", "HasSingularity"):
        lacking("Apptainer on the nodes of the pool (it needs user namespaces)")
    if find_spec("hatchling") is None:
        lacking("hatchling (pip install '.[test]')")
    folder = pool.folder / "real"
    for name in ("dev", "etc", "proc", "sys", "tmp", "usr", "var/tmp", ".singularity.d/actions"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (folder / "etc" / name).touch()
    (folder / ".singularity.d/actions/test").write_text("#!/bin/sh\nexit 0\n")
    (folder / ".singularity.d/actions/test").chmod(0o755)
    made = subprocess.run(
        [sys.executable, "-c", _BUILD, str(tmp_path)],
        cwd=TESTS.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    wheel = made.stdout.split()[-1]
    recipe = write_recipe(Recipe.APPTAINER, cpu=True).text
    environment = IMAGE_PYTHON.removesuffix("/bin/python")
    assert f"python3 -m venv {environment}\n" in recipe
    assert f"{environment}/bin/pip install --no-cache-dir --no-deps /opt/{wheel}\n" in recipe
    inside = folder / environment.lstrip("/")
    venv.create(inside, symlinks=True)
    install = ["-m", "pip", "--python", inside / "bin/python", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([sys.executable, *map(str, install), str(tmp_path / wheel)], check=True)
    (packages,) = inside.glob("lib/python*/site-packages")
    (theirs,) = Path(sys.prefix).resolve().glob("lib/python*/site-packages")
    (packages / "host.pth").write_text(f"{theirs}\n")
    return folder


@pytest.mark.slow
def test_a_real_job_runs_in_an_image(pool: RunningPool, home: Home, image: Path, tmp_path: Path) -> None:
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    told["name"] = "pool"
    told["resources"]["memory_mb"] = 1500
    say = "import flashsim_prod, sys; print(sys.prefix, flashsim_prod.__file__, file=sys.stderr)"
    told["htcondor"] |= {
        "disk_mb": 10,
        "files": "shared",
        "submit": {"MY.SingularityImage": f'"{image}"'},
        "software": {
            "python": IMAGE_PYTHON,
            "image": str(image),
            "setup": ["unset PYTHONPATH", "export OMP_NUM_THREADS=1", f'"$python" -c "{say}"'],
        },
    }
    site = tmp_path / "pool.yaml"
    site.write_text(yaml.safe_dump(told))
    typed = Typed(card="ttbar", events="40", oversample="4", site=str(site), seed=7)
    order, bundle = make_order(typed)
    plan = preview(home, order, None)
    name = place(home, order, plan, bundle_title=bundle.title, named=False, dry_run=False).request.name
    hand_over(home, name)
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.DONE, outcome.failures
    assert verify(home, str(outcome.request.dataset)).problems == ()
    environment = IMAGE_PYTHON.removesuffix("/bin/python")
    log = (home.folder(name).logs / "simulate_000000.1.1.log").read_text()
    assert f"{environment} {environment}/lib/python" in log, "this package is the image's"
