"""A campaign to look at."""

from __future__ import annotations

import pytest

from flashsim_prod.core.campaigns.campaign import Campaign
from flashsim_prod.production.campaigns.plan import plan_campaign
from flashsim_prod.production.campaigns.run import _placed
from flashsim_prod.production.campaigns.store import keep_campaign
from flashsim_prod.production.home import Home
from flashsim_prod.production.live.everything import Everything, everything


@pytest.fixture
def seen(home: Home) -> Everything:
    """A campaign of two requests, none of them started, and what a look sees."""
    told = {
        "name": "summer",
        "title": "all of <summer>",
        "budget": {"events": "100", "tb": 1},
        "requests": [{"cards": ["ttbar", "wjets"], "events": 20, "oversample": 10}],
    }
    campaign = Campaign.from_mapping(told, "summer.yaml")
    plan = plan_campaign(home, campaign, "summer.yaml")
    keep_campaign(home, campaign)
    _placed(home, plan, retry=False)
    return everything(home)
