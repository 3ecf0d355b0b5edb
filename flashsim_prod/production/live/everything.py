"""All requests and campaigns, as one look sees them."""

from __future__ import annotations

from dataclasses import dataclass

from flashsim_prod.errors import FlashSimError
from flashsim_prod.production.campaigns.status import CampaignStatus, all_campaigns
from flashsim_prod.production.home import Home
from flashsim_prod.production.views.spoiled import spoiled
from flashsim_prod.production.views.status import RequestStanding, all_standings


@dataclass(frozen=True)
class Everything:
    """What there is.

    Attributes
    ----------
    standings : list of RequestStanding
    campaigns : list of CampaignStatus
        By name.
    spoiled : tuple of str
        What keeps some requests from being shown, a line for each.
    trouble : str or None
        Why campaigns cannot be told; their requests are told nonetheless.
    """

    standings: list[RequestStanding]
    campaigns: list[CampaignStatus]
    spoiled: tuple[str, ...] = ()
    trouble: str | None = None

    def campaign(self, name: str) -> CampaignStatus | None:
        """The campaign of this name."""
        return next((one for one in self.campaigns if one.name == name), None)

    def of(self, campaign: CampaignStatus) -> list[RequestStanding]:
        """The requests of a campaign."""
        names = {line.name for line in campaign.lines}
        return [one for one in self.standings if one.line.name in names]


def everything(home: Home) -> Everything:
    """Look at all requests, once, and at what campaigns they belong to."""
    standings, wrong = all_standings(home), spoiled(home)
    try:
        campaigns = all_campaigns(home, [one.line for one in standings])
    except FlashSimError as error:
        return Everything(standings, [], wrong, str(error))
    return Everything(standings, campaigns, wrong)
