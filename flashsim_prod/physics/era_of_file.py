"""Which era a NANOAOD file is of, as far as anything in it, or its address, tells."""

from __future__ import annotations

import re

from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.chain.bundle import ERA_KEY
from flashsim_prod.physics.eras import era_in, find_era
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading

#: CMSSW keeps its parameters in blobs, and texts in hexadecimal digits
_GLOBAL_TAG = re.compile(rb"globaltag=[+-]S\(([0-9A-Fa-f]+)\)")
_PARAMETERS = "IdToParameterSetsBlobs"


def era_of_file(file: NanoFile) -> str:
    """The era of a file; empty if nothing tells it.

    Files of this package say it in MetaData, if they are of one. Of others count the name of a dataset or a
    global tag there, then the campaign in the address, then the global tag among CMSSW's parameters.

    Raises
    ------
    InputError
        If it is one that is not known.
    """
    told = file.provenance()
    try:
        if any(text.startswith("flashsim-prod") for text in told.get("software", ())):
            return _only(file, set(told.get(ERA_KEY, ())))
        texts = [text for column in told.values() for text in column]
        for text in (*texts, file.url):
            if era := era_in(text):
                return era
        return era_in(_global_tag(file))
    except ConfigError as error:
        raise InputError(f"{file.url}: {error}; say --era, if it may count as one of these") from error


def settled_era(file: NanoFile, wanted: str) -> str:
    """The era of a file, or what was said of it where nothing tells it; `InputError` if that contradicts."""
    if not wanted:
        return era_of_file(file)
    find_era(wanted)
    try:
        found = era_of_file(file)
    except InputError:
        # one that is not known here may be said to count as another
        return wanted
    if found not in ("", wanted):
        raise InputError(f"{file.url} is of {found}, not of {wanted}; leave it out, or --era")
    return wanted


def _only(file: NanoFile, eras: set[str]) -> str:
    if len(eras) > 1:
        raise InputError(f"{file.url} is merged of several eras, {' and '.join(sorted(eras))}; leave it out")
    era = next(iter(eras), "")
    if era:
        find_era(era)
    return era


def _global_tag(file: NanoFile) -> str:
    """The conditions that CMSSW made a file with; empty if it does not keep its parameters."""
    tree = file.tree("ParameterSets")
    if tree is None or _PARAMETERS not in tree:
        return ""
    branch = tree[_PARAMETERS]
    with reading(file.url, "has a damaged tree 'ParameterSets'"):
        for number in range(branch.num_baskets):
            if found := _GLOBAL_TAG.search(bytes(branch.basket(number).data)):
                return bytes.fromhex(found[1].decode()).decode("ascii", "replace")
    return ""
