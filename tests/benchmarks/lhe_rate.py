"""What reading LHE files costs beside their shower.

    python tests/benchmarks/lhe_rate.py FILE [EVENTS]

prints, for each event: counting and skipping (what orders and the start of a job cost), reading and parsing,
the branches of the hard process, and the shower with all that follows it. Reading may cost at most a tenth of
the shower; the exit code is 1 if it costs more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.splitting import event_pileup_seed, event_seed
from flashsim_prod.physics.generator.lhe.columns import hard_process
from flashsim_prod.physics.generator.lhe.event import parse_event
from flashsim_prod.physics.generator.lhe.file import count_events, event_texts, read_head
from flashsim_prod.physics.generator.lhe.shower import LheSource
from flashsim_prod.physics.generator.lhe.weights import sorted_into_branches

Value = TypeVar("Value")


def _timed(what: Callable[[], Value]) -> tuple[Value, float]:
    begin = time.perf_counter()
    return what(), time.perf_counter() - begin


def main(url: str, events: int) -> int:
    """Measure `events` events of a file."""
    head = read_head(url)
    total, counting = _timed(lambda: count_events(url))
    events = min(events, total)
    _, skipping = _timed(lambda: list(event_texts(url, total - 1, 1)))
    texts, reading = _timed(lambda: list(event_texts(url, 0, events)))
    hard, parsing = _timed(lambda: [parse_event(text, head.weights, "it") for text in texts])
    _, telling = _timed(lambda: hard_process(hard, head.weights, sorted_into_branches(head.weights)))
    energy = Energy(tev=head.energy_tev, pileup="Run2_2018")
    card = ProcessCard(
        name="z", title="z", primary="z", energies=(energy,), settings=("PartonLevel:all = on",)
    )
    source = LheSource(
        card,
        [(url, total)],
        first=0,
        n_events=events,
        pileup="Run2_2018",
        init_seed=1,
        event_seed=partial(event_seed, 1),
        pileup_seed=partial(event_pileup_seed, 1),
    )
    # a second run leaves out what starting Pythia8 costs
    _, one = _timed(lambda: next(source.chunks(1)))
    _, whole = _timed(lambda: sum(chunk.n for chunk in source.chunks(100)))
    shower = whole - min(one, whole / 2) - reading - parsing - telling
    for name, seconds, number in (
        ("counting all", counting, total),
        ("skipping all", skipping, total),
        ("reading", reading, events),
        ("parsing", parsing, events),
        ("hard process", telling, events),
        ("shower and the rest", shower, events),
    ):
        print(f"{name:20s} {seconds / number * 1e6:10.1f} us/event")
    share = (reading + parsing + telling) / shower
    print(f"the reader costs {share:.1%} of the shower")
    return int(share > 0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500))
