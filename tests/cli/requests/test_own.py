"""``cards`` and ``sites`` with commands of their own, and without."""

from __future__ import annotations

from flashsim_prod import resources
from flashsim_prod.production.home import Home

from ..conftest import Cli


def test_lists_say_what_they_leave_out(cli: Cli, home: Home) -> None:
    folder = home.path / "cards"
    folder.mkdir()
    (folder / "tops.yaml").write_text("name: tops\n")
    ended = cli("cards", "--json")
    assert ended.code == 0
    assert "ttbar" in {card["name"] for card in ended.json}
    assert f"note: not listed: {folder / 'tops.yaml'}: the key" in ended.err
    # what is broken is told when it is asked for
    assert cli("cards", "show", "tops").code == 2


def test_new_show_and_check_a_card(cli: Cli, home: Home) -> None:
    written = home.path / "cards" / "mine.yaml"
    assert cli("cards", "new", "mine", "--like", "zh_bb", "--json").json == {"written": str(written)}
    shown = cli("cards", "show", "mine")
    assert shown.out == f"# {written}\n{written.read_text()}"
    assert cli("cards", "show", "mine", "--json").json["card"]["name"] == "mine"
    tried = cli("cards", "check", "mine", "--energy", "13", "--json")
    assert [(one["energy_tev"], one["events"]) for one in tried.json] == [(13, 20)]
    assert tried.json[0]["dataset"].startswith("/mine_13TeV_FlashSim-pythia8/")
    # nothing is kept of it
    assert not (home.path / "store").exists()
    assert home.names() == []


def test_a_check_names_the_field_that_is_wrong(cli: Cli, home: Home) -> None:
    cli("cards", "new", "mine")
    path = home.path / "cards" / "mine.yaml"
    good = path.read_text()
    for old, new, complaint in (
        ("tune: CP5", "tun: CP5", f"{path}: unknown key 'tun'; did you mean 'tune'?"),
        ("tune: CP5", "tune: CP9", "unknown tune 'CP9'"),
        ("pileup: Run2_2018", "pileup: Run9", "unknown pileup profile 'Run9'"),
        ("tev: 13,", "tev: -1,", f"{path}: energies.0.tev: must be greater than 0"),
        ("6:m0 = 172.5", "6:m = 172.5", "Pythia8 does not take the setting '6:m = 172.5'"),
    ):
        assert old in good
        path.write_text(good.replace(old, new))
        ended = cli("cards", "check", "mine")
        assert ended.code == 2
        assert complaint in ended.complaint
    path.write_text(good)
    assert cli("cards", "check", "mine", "--energy", "8").code == 2


def test_new_and_show_a_site(cli: Cli, home: Home) -> None:
    ended = cli("sites", "new", "pool", "--like", "htcondor")
    assert "flashsim-prod sites check pool" in ended.out
    assert "pool" in {site["name"] for site in cli("sites", "--json").json}
    assert cli("sites", "show", "pool", "--json").json["site"]["engine"] == "htcondor"
    shipped = resources.site_configs_dir() / "local.yaml"
    assert cli("sites", "show", "local").out == f"# {shipped}\n{shipped.read_text()}"


def test_schemas_are_printed(cli: Cli) -> None:
    assert cli("cards", "schema").json == cli("cards", "schema", "--json").json
    assert "settings" in cli("cards", "schema").json["properties"]
    assert {"htcondor", "crab"} <= set(cli("sites", "schema").json["properties"])


def test_a_request_takes_an_own_card_at_an_own_site(cli: Cli, home: Home) -> None:
    cli("cards", "new", "mine")
    cli("sites", "new", "desk")
    made = cli("request", "mine", "--site", "desk", "--events", "20", "--dry-run", "--json")
    assert made.json["request"] == "mine-001"
    assert made.json["dataset"].startswith("/mine_13TeV_FlashSim-pythia8/")
