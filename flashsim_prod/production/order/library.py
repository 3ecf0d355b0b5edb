"""Cards and sites: what can be requested, and where it can run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.site import Site
from flashsim_prod.core.strict import StrictModel, nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.files import read_text

Model = TypeVar("Model", bound=StrictModel)


def find_card(name_or_file: str) -> ProcessCard:
    """The shipped card of this name, or the one in a file.

    Raises
    ------
    RequestError
        If there is no such card; the nearest name is suggested.
    ConfigError
        If the file does not follow the schema.
    """
    return _find(name_or_file, [resources.jobs_dir()], "card", ProcessCard.from_yaml)


def find_site(name_or_file: str) -> Site:
    """The site of this name, shipped or brought by an engine, or in a file; errors as for `find_card`."""
    return _find(name_or_file, resources.site_folders(), "site", Site.from_yaml)


def all_cards() -> list[ProcessCard]:
    """Every shipped card, by name."""
    return [find_card(name) for name in _names([resources.jobs_dir()])]


def all_sites() -> list[Site]:
    """Every site that is shipped or that other engines' packages bring, by name."""
    return [find_site(name) for name in _names(resources.site_folders())]


def _find(name_or_file: str, folders: Sequence[Path], kind: str, parse: Callable[[str, str], Model]) -> Model:
    if os.sep not in name_or_file:
        files = [path for folder in folders if (path := folder / f"{name_or_file}.yaml").is_file()]
        if len(files) > 1:
            places = " and ".join(map(str, files))
            raise RequestError(f"{kind} '{name_or_file}' is in {places}; say which one, as a path")
        if files:
            return parse(_text(files[0], kind), files[0].name)
    if os.sep in name_or_file or name_or_file.endswith((".yaml", ".yml")):
        return parse(_text(Path(name_or_file).expanduser(), kind), name_or_file)
    raise RequestError(f"no {kind} '{name_or_file}'{nearest(name_or_file, _names(folders))}")


def _names(folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def _text(path: Path, kind: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise RequestError(f"{path}: this {kind} file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: this {kind} file is not text") from error
