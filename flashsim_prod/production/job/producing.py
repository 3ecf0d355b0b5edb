"""Who makes the events of a request: the chain of its bundle, or the model of its analysis."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Resources
from flashsim_prod.core.speed import Timings
from flashsim_prod.production.job.unused import give_back

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.chain.devices.place import Place
    from flashsim_prod.physics.producing import Producer


@contextmanager
def loading() -> Iterator[None]:
    """While libraries and weights are loaded: they hold no garbage, and looking for some takes long.

    What is there in the end is looked through no more until the work of a job has ended: `loaded`. Memory
    that was needed for loading alone is given back.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
        give_back()
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def loaded() -> Iterator[None]:
    """While a job works: what is there when it begins is looked through for garbage no more."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def producer_of(
    request: Request,
    bundle: Bundle,
    device: str,
    *,
    timings: Timings | None = None,
    branches: Iterable[str] | None = None,
) -> Producer:
    """What makes the events of `request`, with its models loaded.

    Parameters
    ----------
    timings : Timings, optional
        Is told the time of each stage.
    branches : iterable of str, optional
        Run only the models that these need, where there are several.

    Raises
    ------
    BundleError
        If the bundle does not make what the request is of, or cannot be run.
    """
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.producing import NanoProducer

    place = _place(request.site.resources, device)
    if request.analysis is not None:
        from flashsim_prod.physics.analysis.producer import AnalysisProducer

        return AnalysisProducer(bundle, device=place, sampling=request.sampling, timings=timings)
    chain = Chain(
        bundle,
        device=place,
        sampling=request.sampling,
        timings=timings,
        branches=branches,
        keep_unrefined=request.keep_unrefined,
        only_draws=True,
    )
    return NanoProducer(chain, request.nano)


def _place(resources: Resources, device: str) -> Place:
    from flashsim_prod.physics.chain.devices.place import Place

    return Place(device, resources.batch_rows, resources.gpu_graphs, resources.gpu_half)
