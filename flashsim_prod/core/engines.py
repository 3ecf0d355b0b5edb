"""Batch engines as types: what an engine says of itself, and how it is found by its name.

An engine is a subclass of `EngineRules`: its fields are the engine's section in a site file, its methods say
what planning and jobs must know. Those that are part of this package are in a table, so that it also works
where it is not installed (a checkout on the path, an archive on a node); others are announced by entry points
of the group ``flashsim_prod.batch`` of their distributions, named after the engine::

    [project.entry-points."flashsim_prod.batch"]
    pbs = "my_package.section:PbsRules"
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Self

from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from flashsim_prod.core.request import Request
    from flashsim_prod.core.site import Resources

#: entry points of this group announce engines
GROUP = "flashsim_prod.batch"

_BUILT_IN = {
    "local": "flashsim_prod.core.engines:LocalRules",
    "htcondor": "flashsim_prod.grid.batch.htcondor.section:HTCondorRules",
    "crab": "flashsim_prod.grid.batch.crab.section:CrabRules",
    "slurm": "flashsim_prod.grid.batch.slurm.section:SlurmRules",
}
_WITHOUT_SECTION = "local"
#: sections that a site is always written with, empty if it is of another engine
ALWAYS_WRITTEN = ("htcondor", "crab")


#: the interpreter in an image that is made by the recipes of ``flashsim-prod software``
IMAGE_PYTHON = "/opt/flashsim/bin/python"


@dataclass(frozen=True)
class NodeSoftware:
    """Where a node finds Python and this package.

    Attributes
    ----------
    python : str
        The interpreter, in the image or archive if there is one; ``{python}`` is the one that runs.
    image, archive : str or None
        A container image, or a packed environment that is sent along.
    setup : tuple of str
        Shell lines that run before.
    runner : str
        The program that opens images.
    brings_package : bool
        Whether this package itself travels with the jobs.
    """

    python: str = "{python}"
    image: str | None = None
    archive: str | None = None
    setup: tuple[str, ...] = ()
    runner: str = "apptainer"
    brings_package: bool = False


class EngineRules(StrictModel):
    """An engine's section in a site file, and what the engine says of itself.

    One without fields has no section.

    Attributes
    ----------
    batch_system : str
        The `flashsim_prod.grid.batch.base.BatchSystem` that jobs are handed to, as ``module:Class``; loaded
        only where it is used. Empty if jobs run in the foreground.
    gpu_key : str
        The key of the section that asks for GPUs; empty if the engine knows none.
    looks_at : tuple of str
        What `BatchSystem.check` may look at, by name.
    job_report : str
        ``module:function`` that writes a job's end in the engine's own words, from a `Request`, a `JobReport`
        and the name of the output; empty if it does not ask for that.
    """

    batch_system: ClassVar[str] = ""
    gpu_key: ClassVar[str] = ""
    looks_at: ClassVar[tuple[str, ...]] = ()
    job_report: ClassVar[str] = ""

    @property
    def goes_on_alone(self) -> bool:
        """Whether jobs are handed over and go on by themselves, rather than run while the command waits."""
        return bool(self.batch_system)

    def gpus_promised(self) -> int:
        """GPUs that a simulate job is promised."""
        return 0

    def node_software(self) -> NodeSoftware:
        """Where jobs find their software; by default they have what this machine has."""
        return NodeSoftware()

    def copies_urls(self) -> bool:
        """Whether the engine itself, rather than the job, copies from and to servers."""
        return False

    def check_limits(self, resources: Resources) -> None:
        """See that the engine takes jobs that ask for so much; `ValueError` if it does not."""

    def gen_events_of_job(self, wanted: int, per_lumi: int) -> int:
        """Gen events of a job for which the splitting wants so many, with so many in a luminosity section."""
        return wanted

    def most_at_once(self) -> int | None:
        """Jobs of one request that the engine has in its queue at a time; ``None`` if it has no limit."""
        return None

    def limited(self, jobs: int) -> Self | None:
        """The same, with no more than so many jobs at a time for one submission, whoever looks at it later.

        ``None`` if the engine cannot be told that.
        """
        return None

    def removed_by_rule(self, lfn: str) -> bool:
        """Whether what a job has put at `lfn` is Rucio's to remove, by the end of a rule."""
        return False

    def leaves_outputs(self) -> bool:
        """Whether outputs that were merged stay until a person removes them: the batch system says how."""
        return False

    def notes(self, request: Request) -> Iterable[str]:
        """What a user should know of a request at this engine before saying yes, a line each."""
        return ()


class LocalRules(EngineRules):
    """Jobs are processes of this machine, for as long as the command runs."""


def engine_names() -> list[str]:
    """The engines that are here."""
    return sorted({*_BUILT_IN, *(point.name for point in _announced())})


def section_names() -> list[str]:
    """The engines that have a section in a site file, as far as can be said without loading them."""
    return [name for name in engine_names() if name != _WITHOUT_SECTION]


def load_rules(name: str) -> type[EngineRules]:
    """The engine of this name.

    Raises
    ------
    ConfigError
        One line: no distribution that is installed has it, or two have, or it cannot be loaded.
    """
    points = [point for point in _announced() if point.name == name]
    owners = (["flashsim-prod"] if name in _BUILT_IN else []) + [_owner(point) for point in points]
    if len(owners) > 1:
        raise ConfigError(f"engine '{name}' is in {' and in '.join(owners)}; uninstall all but one of them")
    if name in _BUILT_IN:
        found = load_object(_BUILT_IN[name])
    elif points:
        found = _loaded(points[0])
    else:
        raise ConfigError(
            f"no engine '{name}' is installed; there are {', '.join(engine_names())}; "
            "others come with packages of their own"
        )
    if not (isinstance(found, type) and issubclass(found, EngineRules)):
        raise ConfigError(f"engine '{name}' of {owners[0]} is broken: {found!r} is no kind of EngineRules")
    return found


def load_object(target: str) -> object:
    """What ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def announced_packages() -> dict[str, str]:
    """The packages that engines of other distributions are in, by the engine's name; loads none of them."""
    packages = {point.name: point.module.rpartition(".")[0] or point.module for point in _announced()}
    return {name: package for name, package in packages.items() if name not in _BUILT_IN}


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # what a module of others does while it is imported can be anything
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"engine '{point.name}' of {_owner(point)} cannot be loaded ({point.value}: {told}); "
            "mend or uninstall it"
        ) from error


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


@cache
def _announced() -> tuple[EntryPoint, ...]:
    # reading what is installed takes some milliseconds, and importing what reads it, too
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))
