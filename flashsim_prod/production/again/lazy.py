"""A dataset as an array of dask: each partition is a job, simulated by the worker that needs it.

The only module that imports ``dask_awkward``, and only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flashsim_prod.core.request import Request
from flashsim_prod.errors import ConfigError
from flashsim_prod.production.again.events import chunks, wanted_branches, with_step
from flashsim_prod.software import check_same_software

try:
    from dask_awkward.lib.core import Array
    from dask_awkward.lib.io.columnar import ColumnProjectionMixin
    from dask_awkward.lib.io.io import from_map
except ImportError as error:
    raise ConfigError(f"{error}; arrays of dask need it: pip install 'flashsim-prod[dask]'") from error

#: what stands for all branches where only the number of events matters
_SMALLEST = "event"


class JobEvents(ColumnProjectionMixin):
    """From the number of a simulate job to its events; dask-awkward says which branches it needs.

    Parameters
    ----------
    request : str
        The request as YAML: all that a worker elsewhere needs, beside the same software.
    form : awkward form
        Of all branches.
    branches : sequence of str
        Those that are made.
    """

    behavior = None
    attrs = None
    use_optimization = True

    def __init__(self, request: str, form: Any, branches: Sequence[str]) -> None:
        self.request, self.form, self.branches = request, form, tuple(branches)

    def project_columns(self, columns: frozenset[str]) -> JobEvents:
        """The same with some of the branches."""
        kept = [name for name in self.branches if name in columns]
        return JobEvents(self.request, self.form, kept or [_SMALLEST])

    def __call__(self, index: int) -> Any:
        """The events of a simulate job."""
        import awkward as ak

        request = Request.from_yaml(self.request, "request")
        check_same_software(request)
        wanted = wanted_branches(request, self.branches)
        return ak.concatenate(list(chunks(request, [index], wanted)))


def lazy_events(request: Request, jobs: Sequence[int], patterns: Sequence[str] | None) -> Array:
    """The events of simulate jobs, a partition each; one event is simulated here, to know their form.

    Raises
    ------
    RequestError
        If a pattern means no branch.
    FlashSimError
        As by `flashsim_prod.production.again.events.simulated_jobs`.
    """
    wanted = wanted_branches(request, patterns)
    first = next(iter(chunks(with_step(request, 1), jobs[:1], wanted)))
    make = JobEvents(request.to_yaml(), first.layout.form, first.fields)
    lazy = from_map(make, list(jobs), label=f"simulate-{request.name}")
    assert isinstance(lazy, Array)
    return lazy
