"""How hard processes of files are to be showered: a card, or a file of Pythia8's own settings."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.files import read_text
from flashsim_prod.production.order.library import find_card

_COMMANDS = (".cmnd", ".cmd", ".txt")


def find_shower(name_or_file: str) -> ProcessCard:
    """The card whose tune and settings a shower has.

    Parameters
    ----------
    name_or_file : str
        A card's name or file, or a file ``*.cmnd`` with a setting of Pythia8 on each line; such a file is on
        top of the tune CP5.

    Raises
    ------
    RequestError, ConfigError
        If there is no such card or file, or it cannot be read, or sets nothing.
    """
    if not name_or_file.lower().endswith(_COMMANDS):
        return find_card(name_or_file)
    try:
        text = read_text(Path(name_or_file).expanduser())
    except OSError as error:
        raise RequestError(f"--shower: {name_or_file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"--shower: {name_or_file} is not text") from error
    lines = (line.partition("!")[0].partition("#")[0].strip() for line in text.splitlines())
    settings = tuple(line for line in lines if line)
    if not settings:
        raise ConfigError(f"--shower: {name_or_file} holds no settings")
    return ProcessCard(
        name="shower",
        title=f"settings of {Path(name_or_file).name}",
        primary="shower",
        energies=(Energy(tev=13, pileup="Run2_2018"),),
        settings=settings,
    )
