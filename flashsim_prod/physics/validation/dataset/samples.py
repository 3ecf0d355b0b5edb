"""Samples to be compared: reconstructed events with the generator event of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.copies import Copies, identity
from flashsim_prod.physics.events import Events, split_name
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
)
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.runs import event_weights
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import declared_in
from flashsim_prod.physics.validation.dataset.years import UNKNOWN, Years, years_of
from flashsim_prod.physics.validation.models.held_out import REFERENCE_DETECTOR, HeldOutFile
from flashsim_prod.physics.validation.statistics.clustered import Entries
from flashsim_prod.physics.validation.statistics.distances import F64, I64

#: called with what is being done, how much of it is done and how much there is
StageProgress = Callable[[str, int, int], None]

_CHUNK_EVENTS = 4000
#: what generator-level objects are sorted and chosen by
_GEN_ATTRIBUTES = frozenset({"pt", "eta", "pdgId", "status", "statusFlags"})
_GEN = frozenset((*GEN_COLLECTIONS, *OPTIONAL_COLLECTIONS))
_NOT_RECONSTRUCTED = frozenset((*GEN_SCALARS, *OPTIONAL_SCALARS, "run", "luminosityBlock", "event"))
#: what branches begin with that are carried from the generator
_CARRIED = ("gen", "Gen", "LHE", "HTXS", "PSWeight", "MET_fiducialGen")
#: of the sum of the weights' sizes: what their own sum is beyond rounding
_NOTHING = 1e-6
#: numbers of files are kept apart by this
_FILE_BITS = 44


def is_generator_level(name: str) -> bool:
    """Whether a branch, or a collection, is there before any reconstruction."""
    first, _ = split_name(name, _GEN)
    return (
        name in _NOT_RECONSTRUCTED
        or name.startswith(_CARRIED)
        or first in _GEN
        or first.removeprefix("n") in _GEN
        or first == "FlashSim"
    )


@dataclass(frozen=True)
class Sample:
    """Events of one kind.

    Attributes
    ----------
    title : str
        What figures call it.
    files : tuple of InputFile
    events : Events
        Reconstructed branches, and of generator-level objects what a comparison needs.
    gen : int64 array of shape (n_events,)
        Generator event of each.
    weight : array of shape (n_events,)
        genWeight, times FlashSim_weight where there is one.
    schema : Schema
        What the branches mean.
    years : Years
        Version and data-taking period, of the first file.
    """

    title: str
    files: tuple[HeldOutFile, ...]
    events: Events
    gen: I64
    weight: F64
    schema: Schema
    years: Years = UNKNOWN

    @property
    def size_of_weight(self) -> F64:
        """What each event counts for to a classifier, which cannot learn from less than nothing: no sign."""
        return np.abs(self.weight)

    @property
    def n_gen(self) -> int:
        """Generator events."""
        return len(np.unique(self.gen))

    def entries(self, values: F64, event: I64) -> Entries:
        """The finite values of events, or of objects in them, with what belongs to them."""
        kept = np.isfinite(values)
        event = event[kept]
        return Entries(values[kept], self.gen[event], self.weight[event])


def read_sample(
    urls: Sequence[str],
    title: str,
    *,
    max_events: int,
    progress: StageProgress,
    same_dataset: bool,
    schema: Schema | None = None,
) -> Sample:
    """The first events of each file, under the names that models of its version declare.

    Parameters
    ----------
    urls : sequence of str
        Paths or URLs; each gives an equal share.
    title : str
        What it is called; if empty, the files say it.
    max_events : int
    progress : callable
    same_dataset : bool
        Whether FlashSim_genEvent is unique among the files.
    schema : Schema, optional
        Which branches are read, and their types; by default those that models of the files' version know.

    Raises
    ------
    InputError
        A file is damaged, empty or given twice, or all files of a dataset are empty.
    """
    copies = Copies()
    share = -(-max_events // len(urls))
    files, parts, gens = [], [], []
    years = _years(urls[0])
    schema = schema or (declared_in(years.nano) if years.nano else Schema.default())
    for number, url in enumerate(urls):
        with NanoFile(url, schema, declared=True) as file:
            if not file.n_entries:
                # of a dataset nobody can leave a file out
                if same_dataset and len(urls) > 1:
                    continue
                raise InputError(f"{url} holds no events; leave it out")
            copies.refuse(url, file)
            files.append(_described(file))
            names = sorted(name for name in file.branches if _is_wanted(name, file, schema))
            stop = min(share, file.n_entries)
            for start in range(0, stop, _CHUNK_EVENTS):
                progress(Path(url).name, start, stop)
                events = file.read(names, start, min(start + _CHUNK_EVENTS, stop))
                parts.append(events)
                gens.append(_gen_events(events, start, 0 if same_dataset else number))
            progress(Path(url).name, stop, stop)
    if not parts:
        raise InputError(f"{urls[0]} and all other files of the dataset hold no events")
    joined = Events.concatenate(alike(parts))
    weight = event_weights(joined)
    if odd := int(np.count_nonzero(~np.isfinite(weight))):
        raise InputError(
            f"{', '.join(urls)}: genWeight is not finite in {odd} events; no figure can be had of it"
        )
    _refuse_no_weight(weight, urls)
    gen = np.concatenate(gens)
    return Sample(title or _title(files), tuple(files), joined, gen, weight, schema, years)


def _refuse_no_weight(weight: F64, urls: Sequence[str]) -> None:
    """`InputError` if events count for nothing together: no share of them can be told."""
    if abs(weight.sum()) <= _NOTHING * np.abs(weight).sum():
        raise InputError(
            f"{', '.join(urls)}: genWeight adds up to {weight.sum():g} in the first {len(weight)} events; "
            "no distribution can be had of it, take other files or more events"
        )


def _years(url: str) -> Years:
    with NanoFile(url) as file:
        return years_of(file)


def _is_wanted(name: str, file: NanoFile, schema: Schema) -> bool:
    """A branch that a comparison needs; triggers are most of FullSim's and not simulated."""
    collection, attribute = file.place(name)
    return attribute in _GEN_ATTRIBUTES if collection in _GEN else name in schema.branches


def alike(parts: Sequence[Events]) -> list[Events]:
    """The parts with only those branches that all have."""
    scalars = set.intersection(*(set(part.scalars) for part in parts))
    collections = set.intersection(*(set(part.collections) for part in parts))
    columns = {name: set.intersection(*(set(part[name].columns) for part in parts)) for name in collections}
    return [
        Events(
            part.n,
            {name: part.scalars[name] for name in sorted(scalars)},
            {name: part[name].only(sorted(columns[name])) for name in sorted(collections)},
        )
        for part in parts
    ]


def _gen_events(events: Events, start: int, number: int) -> I64:
    if "FlashSim_genEvent" in events.scalars:
        gen = events.scalars["FlashSim_genEvent"].astype(np.int64)
    else:
        gen = np.arange(start, start + events.n, dtype=np.int64)
    return gen + (number << _FILE_BITS)


def _described(file: NanoFile) -> HeldOutFile:
    about = file.provenance()
    made_by = set(about.get("detector", ())) or ({"FlashSim"} if "bundle_digest" in about else set())
    detector = made_by.pop() if len(made_by) == 1 else ""
    return HeldOutFile(Path(file.url).name, file.n_entries, detector, identity=identity(file))


def _title(files: Sequence[HeldOutFile]) -> str:
    for title in (REFERENCE_DETECTOR, "FlashSim"):
        if all(file.detector.startswith(title) for file in files):
            return title
    return "input NANOAOD"


def align_gen_events(sample: Sample, reference: Sample) -> tuple[Sample, bool]:
    """`reference` with generator events that are those of `sample` where they are the same ones.

    They are if all that have the same number have the same generator jets; else the reference gets numbers
    of its own. Fluctuations that both samples share then cancel in their difference.

    Returns
    -------
    Sample
    bool
        Whether they share generator events.
    """
    first, second = (_fingerprints(one) for one in (sample, reference))
    common = first.keys() & second.keys()
    if common and all(first[gen] == second[gen] for gen in common):
        return reference, True
    moved = reference.gen + (1 << 60)
    return replace(reference, gen=moved), False


def _fingerprints(sample: Sample) -> dict[int, tuple[float, int]]:
    """Sum of the pt and number of generator jets of each generator event."""
    gens, first = np.unique(sample.gen, return_index=True)
    if "GenJet" not in sample.events or "pt" not in sample.events["GenJet"]:
        return {}
    jets = sample.events["GenJet"].take_events(first)
    total = np.bincount(jets.event_index, jets["pt"].astype(np.float64), minlength=len(first))
    return dict(zip(gens.tolist(), zip(total.tolist(), jets.counts.tolist(), strict=True), strict=True))
