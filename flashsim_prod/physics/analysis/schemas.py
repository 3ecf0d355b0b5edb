"""The schema of what a request writes, or a file holds: NanoAOD's, or the flat one of an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from pydantic import ValidationError

from flashsim_prod.core.analyses.ntuple import ANALYSIS, Ntuple
from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.request import Request
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Branch, Schema, known_versions

#: what an event of any file has beside what was simulated
NUMBERS = (
    *("run", "luminosityBlock", "event", "genWeight"),
    *("FlashSim_genEvent", "FlashSim_fold", "FlashSim_oversample"),
)
_TYPES = {"float": "float32", "int": "int32"}


def flat_schema(ntuple: Ntuple) -> Schema:
    """The branches of an analysis' ntuple: numbers of the event and its fold, its weight, the variables."""
    known = Schema.default().branches
    branches = {name: known[name] for name in NUMBERS}
    branches |= {
        one.name: Branch(one.name, None, np.dtype(_TYPES[one.type]), one.title) for one in ntuple.columns
    }
    return Schema(f"of analysis {ntuple.name}", MappingProxyType(branches), MappingProxyType({}))


def schema_of(request: Request) -> Schema:
    """What the files of `request` have, but for what their input brings."""
    return Schema.load(request.nano) if request.analysis is None else flat_schema(request.analysis)


def ntuple_in(provenance: Mapping[str, Sequence[str]], where: str) -> Ntuple | None:
    """The ntuple that a file says it is, by its provenance; ``None`` if it is none.

    Raises
    ------
    InputError
        If what it says cannot be read, or it was merged of several.
    """
    told = set(provenance.get(ANALYSIS, ()))
    if not told:
        return None
    if len(told) > 1:
        raise InputError(f"{where} was joined of ntuples of several analyses")
    try:
        return Ntuple.model_validate_json(told.pop())
    except ValidationError as error:
        raise InputError(f"{where}: what MetaData says of its analysis cannot be read") from error


def schema_in(url: str) -> Schema:
    """The schema of a file that no request is known of; `EventsError` if it cannot be read."""
    try:
        with NanoFile(url) as file:
            ntuple, version = ntuple_in(file.provenance(), url), file.version
    except InputError as error:
        raise EventsError(str(error)) from error
    if ntuple is not None:
        return flat_schema(ntuple)
    return Schema.load(version if version in known_versions() else NANO_VERSION)
