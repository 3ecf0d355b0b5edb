"""What of a Slurm cluster can be reached from here, and what Slurm says of a simulate job."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import ConfigError, FlashSimError
from flashsim_prod.files import write_whole
from flashsim_prod.grid.batch.base import Finding
from flashsim_prod.grid.batch.slurm.client import Slurm
from flashsim_prod.grid.batch.slurm.render import options_of_site
from flashsim_prod.grid.batch.slurm.section import SlurmRules

_SERVERS = ("://",)


def check_software(site: Site) -> None:
    """See that the software is there, as far as can be seen from here; `ConfigError` if it is not."""
    software = site.rules_as(SlurmRules).software
    what, path = _place(site)
    if not any(word in path for word in _SERVERS) and os.path.isabs(path) and not Path(path).exists():
        key = "image" if software.image else "python"
        raise ConfigError(
            f"site {site.name}: there is no {what} {path}, so no job could start; name one that nodes "
            f"see in a copy of the site file (slurm.software.{key}), and say --site FILE"
        )


def findings(site: Site) -> Iterator[Finding]:
    """What can be reached, a finding each."""
    slurm = Slurm()
    is_up = yield from _finding("slurmctld", slurm.controller)
    if not is_up:
        return
    yield from _finding("partition", lambda: _partition(slurm, site))
    yield from _finding("accounting", lambda: _accounting(slurm))
    yield from _finding("software", lambda: _software(site))
    yield from _finding("match", lambda: _match(slurm, site))


def _finding(what: str, look: Callable[[], str]) -> Generator[Finding, None, bool]:
    try:
        yield Finding(what, True, look())
    except FlashSimError as error:
        yield Finding(what, False, str(error))
        return False
    return True


def _partition(slurm: Slurm, site: Site) -> str:
    name = site.rules_as(SlurmRules).partition
    lines = slurm.partition(name)
    if not lines:
        raise ConfigError(f"the cluster has no partition {name}; sinfo lists those it has")
    return "; ".join(" ".join(line.split()) for line in lines)


def _accounting(slurm: Slurm) -> str:
    if slurm.accounted([1]) is None:
        kept_s = (slurm.setting("MinJobAge") or "?").split()[0]
        return f"off: why a job was ended by Slurm is known for {kept_s} s only, its exit code always"
    return "sacct answers"


def _software(site: Site) -> str:
    check_software(site)
    what, path = _place(site)
    return f"{what} {path}"


def _match(slurm: Slurm, site: Site) -> str:
    with TemporaryDirectory(prefix="flashsim-slurm-") as folder:
        script = write_whole(Path(folder) / "probe.sh", "#!/bin/sh\ntrue\n")
        return slurm.test(options_of_site(site, Stage.SIMULATE), script)


def _place(site: Site) -> tuple[str, str]:
    software = site.rules_as(SlurmRules).software
    if software.image:
        return "image", software.image
    python = software.python.replace("{python}", sys.executable)
    return "interpreter", python
