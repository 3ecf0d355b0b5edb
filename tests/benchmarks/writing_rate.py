"""Events per second that one core writes, for each compression.

    python tests/benchmarks/writing_rate.py [EVENTS]

The events have all branches of the generator, Jet, Muon, MET and vertex collections, with the
multiplicities of tt events.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
import time
from pathlib import Path

import uproot

from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.trees import COMPRESSIONS
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

make_events = runpy.run_path(str(Path(__file__).parents[1] / "physics/nanoaod/conftest.py"))["make_events"]


def main() -> None:
    n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    events = make_events(2000, scalars=lambda name: not name.startswith("Flag"))
    print(f"{'compression':>11} {'events/s':>9} {'bytes/event':>11} {'branches':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in COMPRESSIONS:
            path = Path(folder) / f"{name}.root"
            started = time.process_time()
            with NanoWriter(path, schema=V9, provenance={}, compression=name) as writer:
                for _ in range(n_events // events.n):
                    writer.write(events)
            elapsed = time.process_time() - started
            with uproot.open(path) as file:
                branches = len(file["Events"].keys())
            print(
                f"{name:>11} {n_events / elapsed:9,.0f} {path.stat().st_size / n_events:11,.0f} {branches:8}"
            )


if __name__ == "__main__":
    main()
