"""From a site to the batch system that its jobs are handed to."""

from __future__ import annotations

from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.batch.base import BatchSystem


def open_batch(site: Site) -> BatchSystem:
    """The batch system of a site that is not driven from here; `ConfigError` for one that is.

    A batch system's own client is loaded only where it is used.
    """
    raise ConfigError(f"site {site.name}: its engine '{site.engine}' runs in the foreground")
