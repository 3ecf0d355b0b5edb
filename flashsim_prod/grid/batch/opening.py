"""From a site to the batch system that its jobs are handed to."""

from __future__ import annotations

from flashsim_prod.core.site import Engine, Site
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.batch.base import BatchSystem


def open_batch(site: Site) -> BatchSystem:
    """The batch system of a site that is not driven from here; `ConfigError` for one that is.

    A batch system's own client is loaded only where it is used.
    """
    if site.engine is Engine.HTCONDOR:
        from flashsim_prod.grid.batch.htcondor.engine import HTCondorBatch

        return HTCondorBatch(site)
    if site.engine is Engine.CRAB:
        from flashsim_prod.grid.batch.crab.engine import CrabBatch

        return CrabBatch(site)
    raise ConfigError(f"site {site.name}: its engine '{site.engine}' runs in the foreground")
