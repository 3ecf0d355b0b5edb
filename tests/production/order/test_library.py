"""Cards and sites by name and by file, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flashsim_prod import resources
from flashsim_prod.core.request import BundleRef
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.order.library import (
    BundleFound,
    all_cards,
    all_sites,
    default_bundle,
    find_card,
    find_site,
)


def test_shipped_cards_and_sites_are_found_by_the_name_they_give_themselves() -> None:
    assert [card.name for card in all_cards()] == sorted(
        path.stem for path in resources.jobs_dir().glob("*.yaml")
    )
    assert [site.name for site in all_sites()] == sorted(
        path.stem for path in resources.site_configs_dir().glob("*.yaml")
    )
    assert {"ttbar", "dyjets", "vbf_hmumu", "zh_llbb", "qcd", "wjets"} <= {card.name for card in all_cards()}


def test_every_shipped_card_offers_both_energies() -> None:
    assert all({13.0, 13.6} <= {energy.tev for energy in card.energies} for card in all_cards())


def test_files_take_the_place_of_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((resources.jobs_dir() / "ttbar.yaml").read_text().replace("name: ttbar", "name: mine"))
    assert find_card(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("find", "name", "complaint"),
    [
        (find_card, "ttbr", "no card 'ttbr'; did you mean 'ttbar'?"),
        (find_site, "locl", "no site 'locl'; did you mean 'local'?"),
        (find_card, "/nowhere/x.yaml", "/nowhere/x.yaml: this card file cannot be read: No such file"),
        (find_card, "nowhere.yaml", "nowhere.yaml: this card file cannot be read"),
        (find_site, "../local", "this site file cannot be read"),
    ],
)
def test_unknown_names_and_missing_files(find: object, name: str, complaint: str) -> None:
    with pytest.raises(RequestError) as caught:
        find(name)  # type: ignore[operator]
    assert complaint in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text((resources.jobs_dir() / "ttbar.yaml").read_text() + "\nsetings: []\n")
    with pytest.raises(ConfigError, match=r"card\.yaml: unknown key 'setings'; did you mean 'settings'\?"):
        find_card(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="is not text"):
        find_card(str(path))


def test_collisions_of_run_3_have_a_bundle_of_their_own_if_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "shipped")
    monkeypatch.setattr(resources, "imported_bundles_dir", lambda: tmp_path / "imported")
    assert default_bundle(13.6, None) is None
    for folder in ("shipped", "imported"):
        manifest = tmp_path / folder / "reference_run3" / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}")
        assert default_bundle(13.6, None) == default_bundle(13.6, "v15") == "reference_run3"
        assert default_bundle(13.0, None) is default_bundle(13.6, "v9") is default_bundle(13.0, "v15") is None
        manifest.unlink()


def test_nothing_is_kept_of_a_bundle_that_refines_nothing() -> None:
    def found(refiner: object) -> BundleFound:
        models = {"met": SimpleNamespace(refiner=None), "tau_from_jet": SimpleNamespace(refiner=refiner)}
        bundle = SimpleNamespace(name="toys", manifest=SimpleNamespace(models=models))
        ref = BundleRef(path="toys", digest="0" * 64)
        return BundleFound(ref, "Toys", "toy models", bundle=cast(Any, bundle))

    found("a refiner").check_refines(asked=True)
    found(None).check_refines(asked=False)
    with pytest.raises(RequestError, match="--keep-unrefined: no model of bundle toys is refined") as told:
        found(None).check_refines(asked=True)
    assert "\n" not in str(told.value)
