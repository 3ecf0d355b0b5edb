"""Where the cards, site files, templates and bundles are.

The same in a checkout, where they stand beside the package, and in an installed wheel, which carries
them in ``flashsim_prod/_resources``. Cards, sites and bundles of one's own are below the state folder.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.engines import announced_packages
from flashsim_prod.threads import LINUX_VARIABLES

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).resolve().parent

#: names the state folder
HOME_VARIABLE = "FLASHSIM_PROD_HOME"


def _root() -> Path:
    packed = _PACKAGE / "_resources"
    return packed if packed.is_dir() else _PACKAGE.parent


def jobs_dir() -> Path:
    """Folder of the request cards, one YAML file per process."""
    return _root() / "jobs"


def site_configs_dir() -> Path:
    """Folder of the site files, one YAML file per site."""
    return _root() / "site_configs"


def own_cards_dir() -> Path:
    """Folder of a user's own cards; it need not exist."""
    return home_path() / "cards"


def own_sites_dir() -> Path:
    """Folder of a user's own site files; it need not exist."""
    return home_path() / "sites"


def card_folders() -> list[Path]:
    """All folders of cards: that of this package, and the user's own."""
    return [jobs_dir(), own_cards_dir()]


def site_folders() -> list[Path]:
    """All folders of site files: of this package, of other engines' packages, and the user's own."""
    others = (folder / "site_configs" for name in announced_packages() if (folder := engine_folder(name)))
    return [site_configs_dir(), *(folder for folder in others if folder.is_dir()), own_sites_dir()]


def engine_folder(engine: str) -> Path | None:
    """The folder of the package that an engine of another distribution is in, if it is one; not loaded."""
    package = announced_packages().get(engine)
    try:
        spec = find_spec(package) if package else None
    # looking for a package within others loads those
    except Exception:  # noqa: BLE001 - who asks for the engine itself is told what is wrong with it
        return None
    return (
        Path(next(iter(spec.submodule_search_locations)))
        if spec and spec.submodule_search_locations
        else None
    )


def templates_dir() -> Path:
    """Folder of the Jinja templates."""
    return _root() / "templates"


def templates(folder: str, *, are_pages: bool) -> Environment:
    """The Jinja templates of one folder of `templates_dir`; a name that is not given is an error.

    Parameters
    ----------
    folder : str
        Or the name of an engine of another distribution: then ``templates`` in its package.
    are_pages : bool
        Whether they are HTML, in which all that is filled in is escaped; else scripts and other plain text.
    """
    # only what renders needs it
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_templates_of(folder)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=are_pages,
        keep_trailing_newline=not are_pages,
        autoescape=are_pages,
    )
    made.globals["linux_thread_variables"] = LINUX_VARIABLES
    return made


def _templates_of(folder: str) -> Path:
    shipped = templates_dir() / folder
    package = None if shipped.is_dir() else engine_folder(folder)
    return shipped if package is None else package / "templates"


def bundles_dir() -> Path:
    """Folder of the model bundles that ship with the package."""
    return _PACKAGE / "bundles"


def imported_bundles_dir() -> Path:
    """Folder of the model bundles that were imported; it need not exist."""
    return home_path() / "bundles"


def home_path() -> Path:
    """The state folder: ``$FLASHSIM_PROD_HOME``, or ``~/flashsim-prod``."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser().absolute() if named else Path.home() / "flashsim-prod"
