"""How much a state folder may hold, where somebody has said so."""

from __future__ import annotations

import json
import os
from pathlib import Path

from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import ConfigError, NoSpaceError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.production.home import Home

_FILE = "quota.json"


def quota_of(home: Home) -> int | None:
    """What the state folder may hold [B]; ``None`` for as much as the disk.

    Raises
    ------
    ConfigError
        If the file that says it is damaged.
    """
    path = home.path / _FILE
    try:
        told = json.loads(read_text(path))
        size = told["bytes"]
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError("bytes must be a whole number above 0")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: no quota can be read from it ({error}); remove it, or set it anew"
        ) from error
    return size


def set_quota(home: Home, size: int | None) -> None:
    """Say what the state folder may hold [B]; ``None`` takes the quota away."""
    path = home.path / _FILE
    if size is not None:
        write_json(path, {"bytes": size})
        return
    with storage_errors(f"removing {path}"):
        path.unlink(missing_ok=True)


def check_quota(home: Home, needed: float, what: str) -> None:
    """See that `needed` more bytes are within the quota.

    Raises
    ------
    NoSpaceError
        If they are not.
    """
    quota = quota_of(home)
    if quota is None:
        return
    used = _used(home.path)
    if used + needed > quota:
        raise NoSpaceError(
            f"{home.path} holds {format_bytes(used)} of the {format_bytes(quota)} that it may, and {what} "
            f"needs about {format_bytes(needed)}; see: flashsim-prod datasets --sizes, flashsim-prod purge; "
            "or raise the quota: flashsim-prod datasets --quota"
        )


def _used(top: Path) -> int:
    """Size of all files below `top`; links count as what they are themselves [B]."""
    total = 0
    for folder, _, files in os.walk(top):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                # gone meanwhile
                continue
    return total
