"""What the words of a campaign's file stand for: each looked up once; errors name file, entry and field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from flashsim_prod.core.campaigns.campaign import Wanted
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError, FlashSimError, RequestError
from flashsim_prod.production.order.library import BundleFound, find_card, find_site, in_era
from flashsim_prod.production.order.order import Seen
from flashsim_prod.production.order.shower import find_shower

Found = TypeVar("Found")


class Looking:
    """Cards, sites, bundles and inputs that a file names.

    Parameters
    ----------
    where : str
        What errors call the file.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.seen = Seen()
        self._cards: dict[str, ProcessCard] = {}
        self._sites: dict[str, Site] = {}

    @contextmanager
    def told(self, wanted: Wanted, field: str = "") -> Iterator[None]:
        """Put file, entry and field before what is wrong."""
        try:
            yield
        except FlashSimError as error:
            place = f"requests.{wanted.entry}" + (f".{field}" if field else f" ({wanted})")
            raise type(error)(f"{self.where}: {place}: {error}") from error

    def check(self, wanted: Wanted) -> None:
        """See that all that is named is there; what is wrong of it is told by its field."""
        with self.told(wanted, "cards"):
            self.card(wanted)
        with self.told(wanted, "sites"):
            self.site(wanted)
        with self.told(wanted, "eras" if wanted.era else "energies"):
            self.energy_tev(wanted)
        with self.told(wanted, "bundle" if wanted.choices.analysis is None else "analysis"):
            self.bundle(wanted)
        if wanted.choices.shower is not None:
            with self.told(wanted, "shower"):
                find_shower(wanted.choices.shower)
        if wanted.inputs:
            registration = wanted.choices.registration
            with self.told(wanted, "inputs"):
                self.seen.source(
                    wanted.inputs, (registration and registration.rse) or self.site(wanted).storage.rse
                )

    def check_limit(self, site: str, limit: int, used: set[str]) -> None:
        """See that a limit is of a site whose engine keeps it; `ConfigError` otherwise."""
        names = {self._sites[word].name: self._sites[word] for word in used}
        if site not in names:
            raise ConfigError(
                f"{self.where}: at_once.{site}: no request is at this site{nearest(site, names)}"
            )
        found = names[site]
        most = found.rules.most_at_once()
        keeps_own = most is not None and most <= limit
        if found.rules.goes_on_alone and found.rules.limited(1) is None and not keeps_own:
            raise ConfigError(
                f"{self.where}: at_once.{site}: engine {found.engine} cannot be told how many jobs may run "
                f"at a time, and the site's file has no limit of {limit} or less for each request; "
                "leave it out"
            )

    def bundle(self, wanted: Wanted) -> BundleFound:
        """The models, of objects or of an analysis."""
        return self.seen.bundle(wanted.choices.bundle, wanted.choices.analysis)

    def card(self, wanted: Wanted) -> ProcessCard | None:
        """The card, if one is named."""
        if wanted.card is None:
            return None
        return _once(self._cards, wanted.card, find_card)

    def differs(self, wanted: Wanted, request: Request) -> bool:
        """Whether the card is no longer that of `request`, which has the pileup of its bundle's era."""
        card = self.card(wanted)
        if card is None or card == request.card:
            return False
        bundle = self.bundle(wanted)
        return request.card != in_era(card, self.energy_tev(wanted), bundle, self.era(wanted))[0]

    def site(self, wanted: Wanted) -> Site:
        """The site."""
        return _once(self._sites, wanted.site, find_site)

    def era(self, wanted: Wanted) -> str:
        """The era that is asked for; empty if none is."""
        from flashsim_prod.physics.eras import era_of_profile

        return era_of_profile(wanted.era) if wanted.era is not None else ""

    def energy_tev(self, wanted: Wanted) -> float | None:
        """The energy that is asked for; ``None`` for the card's first, or the input's."""
        card = self.card(wanted)
        if wanted.inputs or card is None:
            return wanted.energy_tev
        if wanted.era is not None:
            found = [one.tev for one in card.energies if one.pileup == wanted.era]
            found = found or self._of_bundle(wanted, card)
            if len(found) != 1:
                offered = ", ".join(dict.fromkeys(one.pileup for one in card.energies))
                why = "offers it at several energies: say energies" if found else f"offers {offered}"
                raise RequestError(f"era '{wanted.era}': card {card.name} {why}")
            return found[0]
        if card.energy(wanted.energy_tev) is None:
            offered = " and ".join(f"{one.tev:g}" for one in card.energies)
            raise RequestError(
                f"card {card.name} has no energy of {wanted.energy_tev:g} TeV; it offers {offered}"
            )
        return wanted.energy_tev

    def _of_bundle(self, wanted: Wanted, card: ProcessCard) -> list[float]:
        """The energy of the card that is of the bundle's era, if that is the one asked for."""
        from flashsim_prod.physics.eras import ERAS

        bundle = self.bundle(wanted).bundle
        era = ERAS[bundle.era] if bundle is not None else None
        if era is None or era.profile != wanted.era or card.energy(era.energy_tev) is None:
            return []
        return [era.energy_tev]


def _once(known: dict[str, Found], word: str, find: Callable[[str], Found]) -> Found:
    if word not in known:
        known[word] = find(word)
    return known[word]
