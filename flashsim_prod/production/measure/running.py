"""One measurement of energy: checked before, kept after, ended with all that it started."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.energy.record import Measurement
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.measure.energy import measure_energy
from flashsim_prod.production.measure.modes import check_work, make_workloads
from flashsim_prod.production.measure.protocol import EnergyProtocol


def run_protocol(
    protocol: EnergyProtocol,
    *,
    output: Path | None = None,
    source: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Measurement:
    """Measure, and write the raw series, from which all figures can be computed anew.

    Parameters
    ----------
    protocol : EnergyProtocol
    output : Path, optional
        Where the JSON goes; into a file here that is named after the time by default.
    source : str, optional
        The file that the protocol is from, for errors.
    tell : callable
        Is told what goes on, a line at a time.

    Raises
    ------
    FlashSimError
        As by `measure_energy`, and if a mode lacks what it needs.
    """
    try:
        check_work(protocol)
    except RequestError as error:
        raise RequestError(f"{source}: {error}" if source else str(error)) from error
    with _unwound(), tempfile.TemporaryDirectory(prefix="energy-bench-") as scratch:
        measurement = measure_energy(lambda: make_workloads(protocol, Path(scratch)), protocol, tell=tell)
    path = output or Path(f"energy-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
    # the raw series are kept even if no figure comes out of them
    write_whole(path, measurement.model_dump_json(indent=1) + "\n")
    tell(f"written: {path}")
    return measurement


@contextmanager
def _unwound() -> Iterator[None]:
    """Let a signal to end unwind the block, so that what is measured does not run on without its meter."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    kept = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
