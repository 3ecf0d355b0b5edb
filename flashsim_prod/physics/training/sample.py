"""Training samples: generator events, and NANOAOD of the reference detector where no FullSim is to be had."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flashsim_prod import __version__
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.splitting import generator_seed, job_seed, pileup_seed
from flashsim_prod.errors import InputError
from flashsim_prod.files import appearing
from flashsim_prod.physics.chain.bundle import ERA_KEY
from flashsim_prod.physics.chain.detectors import DETECTOR_KEY
from flashsim_prod.physics.copies import Copies
from flashsim_prod.physics.detector.digest import detector_digest
from flashsim_prod.physics.detector.eras import DEFAULT_ERA, DetectorEra, era_of_energy, era_of_version
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.existing import NanoSource, inspect_input
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import writing
from flashsim_prod.physics.nanoaod.writer import NanoWriter

_CHUNK_EVENTS = 500
_EVENTS_PER_LUMI = 1000


def write_generator_sample(
    card: ProcessCard, path: Path, *, energy_tev: float, n_events: int, seed: int
) -> Iterator[int]:
    """Generate events into a file of generator-level NanoAOD.

    Parameters
    ----------
    card : ProcessCard
    path : Path
        File to write; it appears when it is complete.
    energy_tev : float
    n_events : int
    seed : int

    Yields
    ------
    int
        Events done.
    """
    own = _own_seed(seed, card.name)
    source = PythiaSource(
        card, energy_tev, n_events=n_events, seed=generator_seed(own, 0), pileup_seed=pileup_seed(own, 0)
    )
    about = {"card": card.name, "energy_tev": f"{energy_tev:g}", "seed": str(seed)}
    numbered = (_numbered(gen, 1, first) for first, gen in _counted(source.chunks(_CHUNK_EVENTS)))
    yield from _write(path, Schema.default(), numbered, about)


def era_of_inputs(inputs: Sequence[str]) -> DetectorEra:
    """The years whose collisions files are of, by the energy that they tell, else by their version.

    Raises
    ------
    InputError
        If they are of different years.
    """
    found: dict[DetectorEra, str] = {}
    for url in inputs:
        with NanoFile(url) as file:
            told = file.provenance().get("energy_tev", ())
            version = file.version
        try:
            era = era_of_energy(float(told[0])) if told else era_of_version(version)
        except ValueError:
            era = era_of_version(version)
        found.setdefault(era, url)
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise InputError(
            f"{first} is of {one.name} and {second} of {other.name}, two detectors; "
            "reconstruct them one by one, or say which: --era"
        )
    return next(iter(found))


def write_reference_sample(
    inputs: Sequence[str],
    path: Path,
    *,
    folds: int,
    seed: int,
    era: DetectorEra = DEFAULT_ERA,
    constituents: bool = False,
) -> Iterator[int]:
    """Reconstruct generator events with the reference detector, each `folds` times.

    Several detector folds of the same generator event are cheap statistics for training.

    Parameters
    ----------
    inputs : sequence of str
        Files of generator-level NanoAOD.
    path : Path
        NANOAOD file to write, of the era's version; it appears when it is complete.
    folds : int
    seed : int
    era : DetectorEra
    constituents : bool
        Whether jets come with their constituents.

    Yields
    ------
    int
        Reconstructed events done.
    """
    _refuse_copies(inputs)
    files = [(url, inspect_input(url)) for url in inputs]
    total = sum(entries for _, entries in files)
    own = _own_seed(seed, *(Path(url).name for url in inputs))
    detector = ReferenceDetector(era=era, constituents=constituents)
    way = writing(era.nano, era.nano)
    source = NanoSource(files, first=0, n_events=total, seed=pileup_seed(own, 0), schema=Schema.default())

    def reconstructed() -> Iterator[Events]:
        for first, gen in _counted(source.chunks(_CHUNK_EVENTS)):
            # each chunk its own stream of numbers
            made = detector.simulate(_numbered(gen, folds, first), seed=job_seed(own, first))
            yield way.written(made)

    of_years = "" if era is DEFAULT_ERA else f", as of {era.told}"
    about = {
        "detector": f"reference detector (a parametric stand-in, not FullSim{of_years})",
        DETECTOR_KEY: detector_digest(era),
        "inputs": " ".join(Path(url).name for url in inputs),
        "seed": str(seed),
    }
    if era is not DEFAULT_ERA:
        about |= {"nano": era.nano, ERA_KEY: era.name}
    yield from _write(path, way.schema, reconstructed(), about)


def _refuse_copies(inputs: Sequence[str]) -> None:
    """`InputError` if a file is given twice: its events would pass for other ones."""
    copies = Copies()
    for url in inputs:
        with NanoFile(url) as file:
            copies.refuse(url, file)


def _own_seed(seed: int, *names: str) -> int:
    """A seed for this sample alone: samples made with the same `seed` share no draws."""
    words = [zlib.crc32(name.encode()) for name in names]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0])


def _counted(chunks: Iterator[Events]) -> Iterator[tuple[int, Events]]:
    first = 0
    for gen in chunks:
        yield first, gen
        first += gen.n


def _numbered(gen: Events, folds: int, first: int) -> Events:
    return fold_events(
        gen,
        oversample=folds,
        gen_first=first,
        run=1,
        first_event=1,
        first_lumi=1,
        gen_events_per_lumi=max(1, _EVENTS_PER_LUMI // folds),
        job_gen_first=0,
    )


def _write(path: Path, schema: Schema, batches: Iterator[Events], about: dict[str, str]) -> Iterator[int]:
    done = 0
    provenance = {"software": f"flashsim-prod {__version__}", **about}
    with (
        appearing(path) as temporary,
        # no request's digest tells one sample from another of the same name, seed and number of events
        NanoWriter(temporary, schema=schema, provenance=provenance, told_by_contents=True) as writer,
    ):
        for events in batches:
            writer.write(events)
            done += events.n
            yield done
