"""What the shell may complete: names that are found by looking into folders, without loading what they name.

Completion must be quick and may never say anything but names: what cannot be read has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from flashsim_prod import resources

Completer = Callable[[str], list[str]]


def _completer(*sources: Callable[[], Iterable[str]]) -> Completer:
    """What completes a word by the names of `sources`."""

    def complete(incomplete: str) -> list[str]:
        found: set[str] = set()
        for source in sources:
            try:
                found.update(source())
            except Exception:  # noqa: BLE001 - an error would end up on the line that is being typed
                continue
        return sorted(name for name in found if name.startswith(incomplete))

    return complete


def _stems(folder: Path) -> Iterable[str]:
    return (path.stem for path in folder.glob("*.yaml"))


def _cards() -> Iterable[str]:
    for folder in resources.card_folders():
        yield from _stems(folder)


def _sites() -> Iterable[str]:
    for folder in resources.site_folders():
        yield from _stems(folder)


def _cocktails() -> Iterable[str]:
    for folder in resources.card_folders():
        yield from _stems(folder / "cocktails")


def _bundles() -> Iterable[str]:
    for folder in (resources.bundles_dir(), resources.imported_bundles_dir()):
        yield from (path.parent.name for path in folder.glob("[!.]*/manifest.json"))


def _models() -> Iterable[str]:
    # the shipped bundle has them all; the models themselves take a second to load
    manifest = resources.bundles_dir() / "reference" / "manifest.json"
    return json.loads(manifest.read_text(encoding="utf-8"))["models"].keys()  # type: ignore[no-any-return]


def _requests() -> Iterable[str]:
    from flashsim_prod.production.home import Home

    return Home(resources.home_path()).names()


def _campaigns() -> Iterable[str]:
    folder = resources.home_path() / "campaigns"
    return (path.parent.name for path in folder.glob("[!.]*/campaign.yaml"))


def _datasets() -> Iterable[str]:
    from flashsim_prod.production.catalogs import local_datasets
    from flashsim_prod.production.home import Home

    home = Home(resources.home_path())
    return [one.name for one in local_datasets(home)] if home.catalog.is_file() else ()


cards = _completer(_cards)
sites = _completer(_sites)
cocktails = _completer(_cocktails)
bundles = _completer(_bundles)
models = _completer(_models)
bundles_and_models = _completer(_bundles, _models)
requests = _completer(_requests)
campaigns = _completer(_campaigns)
datasets = _completer(_datasets)
datasets_and_requests = _completer(_datasets, _requests)
