"""From a site's storage rules to the storage element they describe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flashsim_prod.core.site import StorageRules
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import read_text
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.xrootd import XRootDStorage

#: any logical name, to see what a site's rules make of it
_PROBE = "/store/mc/probe/probe.root"


def open_storage(rules: StorageRules, home: Path) -> Storage:
    """The storage element of a site.

    Parameters
    ----------
    rules : StorageRules
        Its name and what stands before an LFN: a path, ``root://...``, or a CMS ``storage.json`` that
        says it.
    home : Path
        The state folder, which ``{home}`` in the prefix stands for.

    Raises
    ------
    ConfigError
        If the prefix is neither an absolute path nor one below ``{home}`` nor ``root://``, or the
        ``storage.json`` does not give one.
    """
    prefix = rules.prefix.replace("{home}", str(home.absolute()))
    if Path(prefix).name == "storage.json":
        prefix = prefix_in(Path(prefix), rules.rse, rules.protocol)
    if prefix.startswith(("root://", "xroot://", "roots://")):
        return XRootDStorage(rules.rse, prefix)
    if "{" in prefix or not prefix.startswith("/"):
        raise ConfigError(
            f"storage {rules.rse}: prefix '{rules.prefix}' is no absolute path; "
            "the only placeholder known is {home}"
        )
    return LocalStorage(rules.rse, Path(prefix))


def prefix_in(path: Path, rse: str, protocol: str) -> str:
    """What a CMS ``storage.json`` puts before an LFN at `rse` by `protocol`.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no such element or protocol, or makes names in another way.
    """
    try:
        volumes: list[dict[str, Any]] = json.loads(read_text(path))
        protocols = next(volume["protocols"] for volume in volumes if volume.get("rse") == rse)
        named = {one["protocol"]: one for one in protocols}
        pfn = _resolved(_PROBE, named, protocol)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no storage.json of CMS: {error}") from error
    except (StopIteration, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: it has no protocol '{protocol}' at {rse}") from error
    if pfn is None or not pfn.endswith(_PROBE):
        raise ConfigError(f"{path}: {protocol} at {rse} names files otherwise than by LFN ({pfn})")
    return pfn.removesuffix(_PROBE)


def _resolved(lfn: str, named: dict[str, dict[str, Any]], protocol: str) -> str | None:
    """The PFN by a prefix or by the first rule that fits, rules of a chain applied to what comes before."""
    one = named[protocol]
    if "prefix" in one:
        return f"{one['prefix'].rstrip('/')}{lfn}"
    for rule in one["rules"]:
        before = _resolved(lfn, named, rule["chain"]) if "chain" in rule else lfn
        match = re.match(rule["lfn"], before or "")
        if match:
            return str(match.expand(re.sub(r"\$([0-9])", r"\\\1", rule["pfn"])))
    return None
