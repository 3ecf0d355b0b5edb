"""What is kept of a campaign: the file as it was last run, and who is at work on it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flashsim_prod.core.campaigns.campaign import Campaign, anchored
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.files import read_text, storage_errors, write_whole
from flashsim_prod.grid.locks import is_driven, request_lock
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.rucio_input import PREFIX

_FILE, _STOP = "campaign.yaml", "stop"


@dataclass(frozen=True)
class CampaignFolder:
    """The folder of a campaign below the state folder; nothing here says that it exists."""

    path: Path

    @property
    def file(self) -> Path:
        """The file as it was last run, names of files in it absolute."""
        return self.path / _FILE

    @property
    def report(self) -> Path:
        """Where its page goes."""
        return self.path / "report"

    @property
    def is_at_work(self) -> bool:
        """Whether a command is at work on the campaign at this moment."""
        return self.path.is_dir() and is_driven(self.path)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked the command that is at work to stop."""
        return (self.path / _STOP).exists()

    def stop(self) -> None:
        """Ask the command that is at work to start nothing more."""
        with storage_errors(f"writing into {self.path}"):
            (self.path / _STOP).touch()

    def go_on(self) -> None:
        """Take `stop` back."""
        with storage_errors(f"writing into {self.path}"):
            (self.path / _STOP).unlink(missing_ok=True)

    def lock(self, *, patience_s: float = 0.5) -> AbstractContextManager[None]:
        """Hold the campaign; `LockedError` if another command does."""
        return request_lock(self.path, what="campaign", patience_s=patience_s)


def campaign_folder(home: Home, name: str) -> CampaignFolder:
    """Where the campaign `name` is or would be."""
    return CampaignFolder(home.path / "campaigns" / name)


def campaign_names(home: Home) -> list[str]:
    """Names of all campaigns that were run."""
    return sorted(path.parent.name for path in (home.path / "campaigns").glob(f"[!.]*/{_FILE}"))


def stored_campaign(home: Home, name: str) -> Campaign:
    """The file of a campaign as it was last run; `RequestError` with the nearest name if there is none."""
    names = campaign_names(home)
    if name not in names:
        hint = nearest(name, names) if names else "; there are none yet"
        raise RequestError(f"no campaign '{name}' in {home.path}{hint}")
    path = campaign_folder(home, name).file
    return Campaign.from_yaml(_text(path), str(path))


def keep_campaign(home: Home, campaign: Campaign) -> CampaignFolder:
    """Keep the file of a campaign, for whoever looks at it or goes on with it later."""
    folder = campaign_folder(home, campaign.name)
    with storage_errors(f"writing {folder.file}"):
        folder.path.mkdir(parents=True, exist_ok=True)
    said = campaign.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    # before anything is kept: what is written is what was read
    assert Campaign.from_yaml(text, str(folder.file)) == campaign
    # an address of a server may be a secret
    write_whole(folder.file, text, mode=0o600 if "http" in text and "notify" in text else 0o644)
    return folder


def read_campaign(path: Path) -> Campaign:
    """The campaign in a file; names of files in it are below its own folder.

    Raises
    ------
    RequestError
        If the file cannot be read.
    ConfigError
        If it does not follow the schema.
    """
    folder = path.absolute().parent

    def anchor(key: str, word: str) -> str:
        is_file = os.sep in word or word.endswith((".yaml", ".yml", ".cmnd", ".cmd", ".txt"))
        if key == "inputs":
            is_file = "://" not in word and not word.startswith(PREFIX)
        return str(folder / Path(word).expanduser()) if is_file else word

    text = _text(path)
    try:
        mapping: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if isinstance(mapping, dict):
        mapping = anchored(mapping, anchor)
    return Campaign.from_mapping(mapping, str(path))


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise RequestError(f"{path}: this campaign file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: this campaign file is not text") from error
