"""Branches of the generator's side that no schema lists: weights, and what else an input knows."""

from __future__ import annotations

import re
from collections.abc import Container

from flashsim_prod.core.sources.base import CarriedBranch
from flashsim_prod.physics.events import full_name
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

#: theory weights, the hard process, template cross sections, parameter points, filters
_CARRIED = re.compile(r"(LHE|PSWeight|HTXS_|GenModel_|GenFilter_|Generator_)\w*|genTtbarId")
#: what numpy cannot hold as one number an object
_TEXT = re.compile("string|char", re.IGNORECASE)


def is_carried(name: str) -> bool:
    """Whether a branch of this name goes from the input to every fold as it is."""
    return _CARRIED.fullmatch(name) is not None


#: what MetaData has of files with branches of what was refined
KEPT_UNREFINED = "unrefined"


def schema_of_file(file: NanoFile, schema: Schema) -> Schema:
    """`schema` with what a produced file may have beside: branches of its input, and those before refinement.

    The latter only where the file says that it has them.
    """
    found = schema.with_carried(carried_branches(file, schema.branches))
    return found.with_unrefined() if KEPT_UNREFINED in file.provenance() else found


def carried_branches(file: NanoFile, but: Container[str]) -> tuple[CarriedBranch, ...]:
    """The branches of `file` that are carried, by name, but those that are read anyway."""
    names = sorted(
        name
        for name in file.branches
        if is_carried(name) and name not in but and not _TEXT.search(file.typename(name))
    )
    first = file.first(names)
    found = {
        full_name(collection, key): (str(column.dtype), collection)
        for collection, one in first.collections.items()
        for key, column in one.columns.items()
    }
    found |= {name: (str(column.dtype), "") for name, column in first.scalars.items()}
    return tuple(
        CarriedBranch(
            name=name, type=found[name][0], title=file.title(name), collection=found[name][1] or None
        )
        for name in names
    )
