"""All input files of a request together: alike or refused, and what becomes of what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.sources.base import CarriedBranch, InputFile
from flashsim_prod.core.sources.nano import Contents, InputSums, NanoFiles
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import split_name
from flashsim_prod.physics.generator.files.look import DRAWN, LOOKED_THROUGH, NUMBERING, REQUIRED, FileLook
from flashsim_prod.physics.generator.source import GEN_COLLECTIONS, OPTIONAL_COLLECTIONS

#: names that are told one by one
_SHOWN = 8


def surveyed(files: Sequence[InputFile], looks: Sequence[FileLook]) -> NanoFiles:
    """The source of some files, with all that is known of them."""
    vectors = set(looks[0].sums.vectors).intersection(*(look.sums.vectors for look in looks))
    return NanoFiles(
        files=tuple(files),
        carried=_promoted(looks),
        sums=tuple(
            InputSums(count=look.sums.count, sumw=look.sums.sumw, sumw2=look.sums.sumw2) for look in looks
        ),
        run_vectors=tuple(sorted(vectors)),
        absent=tuple(dict.fromkeys(name for look in looks for name in look.absent)),
        told=_contents(looks),
    )


def check_needs(looks: Iterable[FileLook], needs: Collection[str]) -> None:
    """Check that each file has all that it must have, and all that models need of it.

    Raises
    ------
    InputError
        With the first file that does not, and everything that it lacks.
    """
    poor = [(look, lacking) for look in looks if (lacking := _lacking(look, needs))]
    if not poor:
        return
    look, lacking = poor[0]
    others = f" and {len(poor) - 1} more of the files" if len(poor) > 1 else ""
    them = "it" if len(lacking) == 1 else "them"
    told = ", ".join(f"'{name}'" for name in lacking)
    advice = "" if all(name in REQUIRED for name in lacking) else f", or a --bundle that does without {them}"
    raise InputError(
        f"{look.url}{others} {'have' if others else 'has'} no branch {told}; give an input file that has "
        f"{them}{advice}"
    )


def _lacking(look: FileLook, needs: Collection[str]) -> list[str]:
    return [
        name
        for name in look.absent
        if name in REQUIRED or name in needs or split_name(name, OPTIONAL_COLLECTIONS)[0] in needs
    ]


def check_alike(looks: Sequence[FileLook]) -> None:
    """Check that no file is there twice, and that what is not drawn is in all files or in none.

    Raises
    ------
    InputError
        With both files, and the branch.
    """
    seen: dict[object, FileLook] = {}
    for look in looks:
        twin = seen.setdefault(look.identifier, look)
        if twin is not look:
            raise InputError(
                f"--input: {look.url} and {twin.url} are copies of one file (UUID {look.identifier}); "
                "its events would be simulated twice, leave one out"
            )
    first = looks[0]
    for look in looks[1:]:
        odd = sorted((first.names ^ look.names).difference(DRAWN))
        if odd:
            has, lacks = (first, look) if odd[0] in first.names else (look, first)
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise InputError(
                f"{lacks.url} has no branch '{odd[0]}'{more}, which {has.url} has; "
                "give files of one NanoAOD version, the others in a request of their own"
            )


def _promoted(looks: Sequence[FileLook]) -> tuple[CarriedBranch, ...]:
    """The carried branches of the first file that all have, with types that hold those of every file."""
    types = [{one.name: np.dtype(one.type) for one in look.carried} for look in looks]
    return tuple(
        one.model_copy(update={"type": str(np.result_type(*(of_file[one.name] for of_file in types)))})
        for one in looks[0].carried
        if all(one.name in of_file for of_file in types)
    )


def _contents(looks: Sequence[FileLook]) -> Contents:
    names = looks[0].names.intersection(*(look.names for look in looks))
    lost = set().union(*(look.lost for look in looks)) | {
        name for look in looks for name in look.names - names if name not in DRAWN
    }
    numbering = " and its own numbering as FlashSim_input*" if names.issuperset(NUMBERING) else ""
    return Contents(
        carried=f"{_grouped(names.difference(DRAWN, NUMBERING))}{numbering}; the same in every fold"
        f"{_unusual(looks)}",
        dropped="; ".join(
            ["all reconstructed objects and triggers, which are made anew or left out"]
            + ([f"of the generator's side {_listed(sorted(lost))}"] if lost else [])
        ),
        drawn=_drawn(looks),
        normalisation=_normalisation(looks),
    )


def _unusual(looks: Sequence[FileLook]) -> str:
    names = sorted(set().union(*(look.unusual for look in looks)))
    if not names:
        return ""
    return (
        f"; {_listed(names)} not finite in some of the first {LOOKED_THROUGH:,} events of a file, "
        "carried as they are"
    )


def _grouped(names: Collection[str]) -> str:
    """Collections by name, and all other branches."""
    owners = {*GEN_COLLECTIONS, *OPTIONAL_COLLECTIONS, "LHEPart"}
    groups = Counter(
        owner
        if (owner := split_name(name, owners)[0]) in {*owners, "HTXS", "LHE", "GenModel", "Generator"}
        else name
        for name in names
    )
    return ", ".join(sorted(groups))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _drawn(looks: Sequence[FileLook]) -> str:
    lacking = Counter(name for look in looks for name in DRAWN if name not in look.names)
    if not lacking:
        return "nothing of the generator's side"
    told = [
        name if number == len(looks) else f"{name} (of {number} of {len(looks)} files)"
        for name, number in lacking.items()
    ]
    return f"{', '.join(told)}, from the pileup profile: the input lacks them"


def _normalisation(looks: Sequence[FileLook]) -> str:
    poor = [look for look in looks if look.trouble]
    counted, held = sum(look.sums.count for look in looks), sum(look.entries for look in looks)
    told = (
        f"Runs of the input, times folds: {format_count(held)} gen events stand for {format_count(counted)}"
    )
    if len(poor) == len(looks):
        told = "the sums of the events that are there"
    if poor:
        told += (
            f"; {poor[0].url}{f' and {len(poor) - 1} more' if len(poor) > 1 else ''}: {poor[0].trouble}, "
            "so its own events count, which is wrong if it is a skim"
        )
    return told
