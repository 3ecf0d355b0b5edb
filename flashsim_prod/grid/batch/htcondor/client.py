"""The one module that knows HTCondor's Python bindings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from flashsim_prod.errors import ConfigError, StorageError

#: what the bindings give of a job or a machine
Ad = Mapping[str, Any]
#: where HTCondor's configuration is unless CONDOR_CONFIG says otherwise
_CONFIGS = ("/etc/condor/condor_config", "/usr/local/etc/condor_config")

#: what CONDOR_CONFIG says where all settings are in the environment
_NO_FILE = "ONLY_ENV"


class Pool:
    """A schedd and the collector of its pool.

    Parameters
    ----------
    schedd : str, optional
        Its name; by default the one that this machine is configured for.
    pool : str, optional
        The collector's address; by default the configured one.

    Raises
    ------
    ConfigError
        If the bindings are missing or HTCondor is not configured here.
    """

    def __init__(self, schedd: str | None = None, pool: str | None = None) -> None:
        self._condor: Any = _bindings()
        self._name = schedd
        self._pool = pool
        self._found: Any = None

    def submit_dag(self, dag: Path, options: Mapping[str, str | int], attributes: Mapping[str, str]) -> int:
        """Hand a DAG to DAGMan; the number of its cluster. `attributes` are texts that its job carries."""
        told = {"dagman": self.setting("DAGMAN") or "", "force": False, **options}
        with _errors("submitting"), _inside(dag.parent):
            with _quietly():
                description = self._condor.Submit.from_dag(
                    dag.name, {k: v for k, v in told.items() if v != ""}
                )
            for name, text in attributes.items():
                description[f"My.{name}"] = f'"{text}"'
            return int(self._schedd().submit(description).cluster())

    def jobs(self, constraint: str, attributes: Sequence[str]) -> list[Ad]:
        """Jobs in the queue."""
        with _errors("asking for jobs"):
            return list(self._schedd().query(constraint=constraint, projection=list(attributes)))

    def left(self, constraint: str, attributes: Sequence[str], *, since: str, most: int = -1) -> list[Ad]:
        """Jobs that have left the queue, the last ones first, back to the one that `since` is true of."""
        with _errors("asking for the history"):
            found = self._schedd().history(constraint, list(attributes), match=most, since=since)
            return list(found)

    def remove(self, constraint: str, reason: str) -> None:
        """Take jobs out of the queue."""
        with _errors("removing jobs"):
            # a text alone is lost on its way
            self._schedd().act(self._condor.JobAction.Remove, constraint, reason=(reason, 0))

    def machines(self, attributes: Sequence[str] = ()) -> list[Any]:
        """Slots of the pool that can be matched, not those carved out of them for running jobs."""
        with _errors("asking for machines"):
            return list(
                self._collector().query(
                    self._condor.AdType.Startd,
                    constraint='SlotType =!= "Dynamic"',
                    projection=list(attributes),
                )
            )

    def schedd_name(self) -> str:
        """The schedd that jobs go to, after it has answered."""
        self.jobs("false", ["ClusterId"])
        return self._name or self.setting("SCHEDD_HOST") or self.setting("SCHEDD_NAME") or "of this machine"

    def setting(self, name: str) -> str | None:
        """A value of HTCondor's configuration here."""
        try:
            return str(self._condor.param[name])
        except KeyError:
            return None

    def _collector(self) -> Any:
        return self._condor.Collector(self._pool) if self._pool else self._condor.Collector()

    def _schedd(self) -> Any:
        name = self._name or self.setting("SCHEDD_HOST")
        if name is None:
            return self._condor.Schedd()
        if self._found is None:
            self._found = self._collector().locate(self._condor.DaemonType.Schedd, name)
        if self._found is None:
            raise StorageError(f"HTCondor: the pool knows no schedd '{name}'")
        return self._condor.Schedd(self._found)


def _bindings() -> Any:
    named = os.environ.get("CONDOR_CONFIG")
    if named is None and not any(map(os.path.exists, _CONFIGS)):
        raise ConfigError("HTCondor is not configured here; set CONDOR_CONFIG, or log in to a submit machine")
    if named is not None and named != _NO_FILE and not os.path.isfile(named):
        raise ConfigError(f"CONDOR_CONFIG names {named}, which is no file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("htcondor2")
    except ImportError as error:
        raise ConfigError(
            f"HTCondor's bindings are missing ({error}): on Linux, pip install htcondor"
        ) from error


@contextmanager
def _errors(action: str) -> Iterator[None]:
    """Errors of the bindings as one of the house's: whatever they are, another try may help."""
    failure = import_module("htcondor2").HTCondorException
    try:
        yield
    except (failure, OSError) as error:
        said = " ".join(str(error).split())
        raise StorageError(
            f"HTCondor, {action}: {said}; is the schedd up and are you known to it?"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the library of the bindings prints by itself out of this command's standard output."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Run the block in `folder`: DAGMan runs where it was submitted."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
