"""How many events a second the generator makes on one core, card by card, and what memory it takes.

Run by hand::

    python tests/benchmarks/generator_rate.py --events 500
    python tests/benchmarks/generator_rate.py --cards ttbar --sizes 1000 10000
"""

from __future__ import annotations

import argparse
import time

import psutil
from rich.console import Console
from rich.table import Table

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.resources import jobs_dir

CHUNK = 500


def load(name: str) -> ProcessCard:
    """The shipped card `name`."""
    path = jobs_dir() / f"{name}.yaml"
    return ProcessCard.from_yaml(path.read_text(encoding="utf-8"), str(path))


def run(card: ProcessCard, n_events: int) -> tuple[float, float]:
    """Generate `n_events`: (processor seconds, resident memory in MB at the end)."""
    source = PythiaSource(card, card.energies[0].tev, n_events=n_events, seed=1, pileup_seed=2)
    started = time.process_time()
    made = sum(events.n for events in source.chunks(CHUNK))
    if made != n_events:
        raise RuntimeError(f"{card.name}: {made} events instead of {n_events}")
    return time.process_time() - started, psutil.Process().memory_info().rss / 1e6


def rates(cards: list[ProcessCard], n_events: int, tunes: list[str]) -> Table:
    """Events per processor second of each card."""
    table = Table("card", *(f"{tune} [events/s]" for tune in tunes))
    for card in cards:
        seconds = [run(card.model_copy(update={"tune": tune}), n_events)[0] for tune in tunes]
        table.add_row(card.name, *(f"{n_events / one:.0f}" for one in seconds))
    return table


def memory(card: ProcessCard, sizes: list[int]) -> Table:
    """Resident memory after jobs of several sizes, one after another in one process."""
    table = Table("events", "RSS [MB]")
    for size in sizes:
        table.add_row(str(size), f"{run(card, size)[1]:.0f}")
    return table


def main() -> None:
    """Print the tables."""
    known = sorted(path.stem for path in jobs_dir().glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cards", nargs="+", default=known, choices=known, help="which cards (all)")
    parser.add_argument("--events", type=int, default=500, help="events for each rate (500)")
    parser.add_argument("--tunes", nargs="+", default=["CP5"], help="tunes to compare (CP5)")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="job sizes to measure memory at")
    options = parser.parse_args()
    cards = [load(name) for name in options.cards]
    run(cards[0], 10)  # imports are not what is measured
    console = Console()
    console.print(rates(cards, options.events, options.tunes))
    if options.sizes:
        console.print(memory(cards[0], options.sizes))


if __name__ == "__main__":
    main()
