"""From a site's storage rules to the storage element they describe."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.core.site import StorageRules
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.local import LocalStorage


def open_storage(rules: StorageRules, home: Path) -> Storage:
    """The storage element of a site.

    Parameters
    ----------
    rules : StorageRules
        Its name and what stands before an LFN.
    home : Path
        The state folder, which ``{home}`` in the prefix stands for.

    Raises
    ------
    ConfigError
        If the prefix is neither an absolute path nor one below ``{home}``.
    """
    prefix = rules.prefix.replace("{home}", str(home.absolute()))
    if "{" in prefix or not prefix.startswith("/"):
        raise ConfigError(
            f"storage {rules.rse}: prefix '{rules.prefix}' is no absolute path; "
            "the only placeholder known is {home}"
        )
    return LocalStorage(rules.rse, Path(prefix))
