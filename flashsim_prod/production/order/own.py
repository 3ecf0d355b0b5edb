"""Cards and sites of a user's own: new files below the state folder, every field described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.site import Site
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.order.described import commented_yaml
from flashsim_prod.production.order.library import CARDS, SITES, Model, Shelf, find_card, find_site

#: what an editor reads a schema from, if it is beside the files
SCHEMA_NAME = "schema.json"
#: of a card, what is another process's where a card is made after it
_OF_ITS_PROCESS = ("reference",)


def new_card(name: str, like: str) -> Path:
    """Write a card below the state folder, with the settings of another one; its path.

    Its name and that of its datasets are its own. Cross sections are left out: another process's would be
    taken for its own.

    Raises
    ------
    RequestError
        If the name is taken or cannot be one, or there is no card to begin with.
    """
    _refuse_taken(CARDS, name)
    after = find_card(like)
    kept = after.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    energies = [{k: v for k, v in one.items() if k != "cross_section_pb"} for one in kept["energies"]]
    values = {
        **{key: value for key, value in kept.items() if key not in _OF_ITS_PROCESS},
        "name": name,
        "title": f"{name}, with the settings of {after.name}",
        "primary": _primary(name),
        "energies": energies,
    }
    return _write(CARDS, name, values, like)


def new_site(name: str, like: str) -> Path:
    """Write a site file below the state folder, like another one; its path. Errors are as for `new_card`."""
    _refuse_taken(SITES, name)
    after = find_site(like)
    values = {
        **after.model_dump(mode="json", exclude_unset=True, exclude_none=True),
        "name": name,
        "title": f"{name}, like {after.name}",
    }
    return _write(SITES, name, values, like)


def _primary(name: str) -> str:
    """A primary dataset's name, which begins with a letter."""
    return f"{name if re.match('[a-z]', name) else f'P{name}'}_{{energy}}_FlashSim-pythia8"


def _refuse_taken(shelf: Shelf[Model], name: str) -> None:
    if name in shelf.names():
        raise RequestError(
            f"{shelf.kind} '{name}' is there already ({shelf.locate(name)}); give another name"
        )


def _write(shelf: Shelf[ProcessCard] | Shelf[Site], name: str, values: dict[str, Any], like: str) -> Path:
    # what cannot be a name is refused before a file is called so
    shelf.model.from_mapping(values, f"{shelf.kind} '{name}'")
    folder = shelf.own()
    lines = [
        f"# {shelf.kind.capitalize()} '{name}', made after '{like}': change what is different.",
        "# What begins with '#' and no space is the default: take the '#' away to set it.",
        f"# What is wrong with it, if anything, says: flashsim-prod {shelf.kind}s check {name}",
    ]
    if (folder / SCHEMA_NAME).is_file():
        lines.insert(0, f"# yaml-language-server: $schema={SCHEMA_NAME}")
    text = "\n".join(lines) + "\n" + commented_yaml(shelf.model, values)
    shelf.model.from_yaml(text, f"{shelf.kind} '{name}'")
    return write_whole(folder / f"{name}.yaml", text)
