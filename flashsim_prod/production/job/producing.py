"""Who makes the events of a request: the chain of its bundle, or the model of its analysis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.producing import Producer


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

    rows = request.site.resources.batch_rows
    if request.analysis is not None:
        from flashsim_prod.physics.analysis.producer import AnalysisProducer

        return AnalysisProducer(
            bundle, device=device, sampling=request.sampling, timings=timings, batch_rows=rows
        )
    chain = Chain(
        bundle,
        device=device,
        sampling=request.sampling,
        timings=timings,
        batch_rows=rows,
        branches=branches,
    )
    return NanoProducer(chain, request.nano)
