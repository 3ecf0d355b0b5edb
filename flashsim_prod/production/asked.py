"""Who asked to be told: of one request, or of all in a state folder.

It is kept beside ``request.yaml``, not in it: that goes to nodes and is shown to others, and an address can
be a secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import json_text, read_text, storage_errors, write_whole
from flashsim_prod.production.home import Home

FILE = "notify.json"
_SINCE = "since"


@dataclass(frozen=True)
class Asked:
    """Who is told.

    Attributes
    ----------
    notify : Notify
    since : datetime
        When that was asked for; what happened before is not told.
    file : Path
        Where it is kept.
    """

    notify: Notify
    since: datetime
    file: Path


def asked_of(home: Home, request: str | None = None) -> Asked | None:
    """Who is told of a request, or in general; ``None`` if nobody said anything.

    Raises
    ------
    ConfigError
        If the file that says it is damaged.
    """
    places = [home.folder(request).path] if request is not None else []
    found = (_read(place / FILE) for place in [*places, home.path])
    return next((one for one in found if one is not None), None)


def ask(folder: Path, notify: Notify | None, since: datetime | None = None) -> None:
    """Keep who is told, for the user alone to read; ``None`` takes it back.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    path = folder / FILE
    if notify is None:
        with storage_errors(f"removing {path}"):
            path.unlink(missing_ok=True)
        return
    when = (since or datetime.now(UTC)).isoformat()
    write_whole(path, json_text({**notify.model_dump(mode="json"), _SINCE: when}) + "\n", mode=0o600)


def _read(path: Path) -> Asked | None:
    try:
        told = json.loads(read_text(path))
        since = datetime.fromisoformat(told.pop(_SINCE)).astimezone(UTC)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: who is to be told cannot be read from it ({type(error).__name__}); "
            "set it anew: flashsim-prod notify"
        ) from error
    return Asked(Notify.from_mapping(told, str(path)), since, path)
