"""Campaigns on the live page: their requests together, totals, budget, and a page of their own."""

from __future__ import annotations

import re
from dataclasses import replace

from flashsim_prod.production.campaigns.status import campaign_status, status_figures
from flashsim_prod.production.home import Home
from flashsim_prod.production.live import pages
from flashsim_prod.production.live.everything import Everything, everything


def test_requests_of_a_campaign_stand_together_with_its_totals(seen: Everything) -> None:
    shown = pages.body_of_all(seen)
    names = re.findall(r'href="(/[a-z]+/[^"/]*)"', shown)
    assert names[0] == "/campaigns/summer"
    assert len(names) == 3
    assert all(name.startswith("/requests/summer.") for name in names[1:])
    assert "of no campaign" not in shown
    assert "2 requests" in shown
    others = replace(seen, campaigns=[])
    assert "/campaigns/" not in pages.body_of_all(others)
    one = replace(seen.campaigns[0], lines=seen.campaigns[0].lines[:1])
    assert pages.body_of_all(replace(seen, campaigns=[one])).index("of no campaign") > 0


def test_the_page_of_a_campaign(seen: Everything) -> None:
    shown = pages.page_of_campaign(seen, seen.campaigns[0])
    assert "all of &lt;summer&gt;" in shown
    assert "40 ordered of 100" in shown
    assert "0 B made of 1 TB" in shown
    assert 'style="width:40.00%"' in shown
    assert shown.count('href="/requests/summer.') == 2
    assert 'data-live="/campaigns/summer/live"' in shown


def test_the_numbers_are_those_of_the_command(home: Home, seen: Everything) -> None:
    (told,) = seen.campaigns
    found = campaign_status(home, "summer")
    assert [line.name for line in told.lines] == [line.name for line in found.lines]
    assert replace(told, lines=(), failures={}) == replace(found, lines=(), failures={})
    assert status_figures(told)["percent"] == 0


def test_a_damaged_file_of_a_campaign_leaves_the_requests(home: Home, seen: Everything) -> None:
    (home.path / "campaigns" / "summer" / "campaign.yaml").write_text("name: [")
    found = everything(home)
    assert (found.campaigns, len(found.standings)) == ([], 2)
    shown = pages.body_of_all(found)
    assert "Campaigns cannot be told: " in shown
    assert shown.count('href="/requests/summer.') == 2
