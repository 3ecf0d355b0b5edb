"""From a site to the batch system that its jobs are handed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from flashsim_prod.core.engines import load_object
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.batch.base import BatchSystem


def open_batch(site: Site) -> BatchSystem:
    """The batch system of a site that is not driven from here; `ConfigError` for one that is.

    A batch system's own client is loaded only where it is used.
    """
    named = site.rules.batch_system
    if not named:
        raise ConfigError(f"site {site.name}: its engine '{site.engine}' runs in the foreground")
    kind = _loaded(site, named)
    if not (isinstance(kind, type) and issubclass(kind, BatchSystem)):
        raise ConfigError(f"engine '{site.engine}': its {named} is no kind of BatchSystem")
    return kind(site)


def engine_report(site: Site) -> Callable[[Request, JobReport, str], str]:
    """What writes a job's end in the words of the site's engine; `ConfigError` if it asks for none."""
    named = site.rules.job_report
    if not named:
        raise ConfigError(f"site {site.name}: its engine '{site.engine}' knows no report of its own")
    return cast("Callable[[Request, JobReport, str], str]", _loaded(site, named))


def _loaded(site: Site, named: str) -> object:
    try:
        return load_object(named)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"engine '{site.engine}': its {named} cannot be loaded: {error}") from error
