"""What tests of batch systems share: a toy request at a site, fake physics on nodes, and waiting."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.engines import LocalRules
from flashsim_prod.core.request import BundleRef
from flashsim_prod.core.site import MergeRules, Site
from flashsim_prod.core.states import RequestState
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order, Plan
from flashsim_prod.production.views import status

TESTS = Path(__file__).parent
#: no request of these tests takes as long
PATIENCE_S = 600.0
CARD = ProcessCard(
    name="toy",
    title="a toy process",
    primary="Toy_{energy}",
    energies=(Energy(tev=13, pileup="Run2_2018"),),
    settings=("Top:all = on",),
)


def place_toy(home: Home, site: Site, jobs: int, *, per_merge: int = 2, **changes: Any) -> Plan:
    """A request of `jobs` simulate jobs of 10 events."""
    size_mb = per_merge * 10 * site.rates.bytes_per_event / 1e6
    order = Order(
        card=CARD,
        site=site.model_copy(update={"merge": MergeRules(target_file_mb=size_mb, files_per_block=2)}),
        oversample=5,
        seed=1234,
        bundle=BundleRef(path="reference", digest="0" * 64),
        bundle_tag="RefDet",
        events=10 * jobs,
        events_per_job=10,
        device=site.device,
        **changes,
    )
    return place(home, order, preview(home, order, None), bundle_title="toy", named=False, dry_run=False)


def write_fake_python(path: Path, trouble: Path, *lines: str) -> Path:
    """An interpreter that runs the fake physics in place of the package's worker; `lines` are of its shell.

    Parameters
    ----------
    trouble : Path
        The folder that tells the fake physics what is to go wrong.
    """
    script = (
        "#!/bin/sh",
        f"export PYTHONPATH={TESTS.parent} FAKE_TROUBLE={trouble}",
        f'[ "$1" != -m ] || {{ shift 2; exec {sys.executable} {TESTS}/fake_physics.py "$@"; }}',
        f'exec {sys.executable} "$@"',
    )
    path.write_text("\n".join((*script[:2], *lines, *script[2:])) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def module_at(path: Path, name: str) -> Any:
    """The module in a file that is in no package."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def waited_for(what: Callable[[], Any], patience_s: float = 180) -> Any:
    """What `what` gives, as soon as it is something."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.3)
    return found


def local_copy(site: Site) -> Site:
    """The same site with its jobs as processes of this machine."""
    return site.model_copy(update={"engine": "local", "slots": 2, "rules": LocalRules()})


def remove_requests(home: Home) -> None:
    """Forget all requests and files."""
    shutil.rmtree(home.path)
    home.requests.mkdir(parents=True)


def finished(home: Home, name: str) -> Outcome:
    """Hand a request over and follow it to its end."""
    hand_over(home, name)
    deadline = time.monotonic() + PATIENCE_S
    outcome = follow(home, name, Display(), stop=lambda: time.monotonic() > deadline)
    assert outcome.state is not RequestState.RUNNING, status.detail(home, name)
    return outcome
