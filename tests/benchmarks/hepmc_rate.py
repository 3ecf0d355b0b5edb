"""What reading HepMC files costs beside the shower that made them.

    python tests/benchmarks/hepmc_rate.py [EVENTS]

makes top-pair events with Pythia8, writes them as HepMC3 and prints, for each event, in CPU time: making it
(hard process, shower, hadronisation), looking at a file when a request is made, skipping it, reading it, and
finding NanoAOD's collections, which both ways have in common.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from hepmc_files import of_pythia, run_info, write_hepmc

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.generator.hepmc.file import event_texts, read_head
from flashsim_prod.physics.generator.hepmc.graph import GraphParticles, check_graph
from flashsim_prod.physics.generator.hepmc.record import read_records
from flashsim_prod.physics.generator.hepmc.survey import survey
from flashsim_prod.physics.generator.pythia import of_particles, set_up
from flashsim_prod.resources import jobs_dir

Value = TypeVar("Value")
_BATCH = 100


def _timed(what: Callable[[], Value]) -> tuple[Value, float]:
    begin = time.process_time()
    return what(), time.process_time() - begin


def main(events: int) -> None:
    """Measure `events` events."""
    card = ProcessCard.from_yaml((jobs_dir() / "ttbar.yaml").read_text(encoding="utf-8"), "ttbar")
    pythia = set_up(card, ("Beams:eCM = 13000",))
    pythia.init()
    info, made, shower = run_info(), [], 0.0
    for number in range(events):
        shower += _timed(pythia.next)[1]
        made.append(of_pythia(pythia.event, number, info))
    with tempfile.TemporaryDirectory() as folder:
        url = str(write_hepmc(Path(folder) / "ttbar.hepmc", made))
        head, where = read_head(url), [str(number) for number in range(events)]
        _, looking = _timed(lambda: survey(url))
        texts, skipping = _timed(lambda: list(event_texts(url)))
        list(read_records(head, texts[:1], where[:1], is_compiled=True))
        records, reading = _timed(lambda: list(read_records(head, texts, where, is_compiled=True)))
        _, by_library = _timed(lambda: list(read_records(head, texts, where)))
    batches = [records[start : start + _BATCH] for start in range(0, events, _BATCH)]
    particles, graph = _timed(lambda: [GraphParticles.of(batch) for batch in batches])
    _, checking = _timed(lambda: [check_graph(one, where) for one in particles])
    _, finding = _timed(lambda: [of_particles(one) for one in particles])
    for name, seconds in (
        ("Pythia8", shower),
        ("looking, once", looking),
        ("skipping", skipping),
        ("reading", reading),
        ("by pyhepmc alone", by_library),
        ("graph and checks", graph + checking),
        ("collections", finding),
    ):
        print(f"{name:20s} {seconds / events * 1e3:8.2f} ms/event")
    share = (skipping + reading + graph + checking) / shower
    print(f"the reader costs {share:.0%} of the shower")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
