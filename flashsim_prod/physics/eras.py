"""Data-taking periods, and what is different in each of them: definitions of NanoAOD, pileup, beam spot."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.physics.generator.pileup import find_profile

Cuts = NDArray[np.float64]

#: what all is made for where nothing else is said
DEFAULT = "UL18"
#: the same where NanoAOD is of a version from here on, first made of the collisions of Run 3
_RUN3, _RUN3_NANO = "Run3_2022", 11

#: Working points of the pileup score, named loose, medium and tight in CMSSW
#: (RecoJets/JetProducers/python/PileupJetIDCutParams_cfi.py, ``full_106x_UL18_chs_wp`` and ``_UL16_``): rows
#: pt < 20, 30, 40 GeV and above; columns abs(eta) < 2.5, 2.75, 3, 5
_OF_2018: tuple[Cuts, Cuts, Cuts] = (
    np.array(
        [
            [-0.95, -0.72, -0.68, -0.47],
            [-0.88, -0.55, -0.60, -0.43],
            [-0.63, -0.18, -0.43, -0.24],
            [-0.19, 0.22, -0.13, -0.03],
        ]
    ),
    np.array(
        [
            [0.26, -0.33, -0.54, -0.37],
            [0.68, -0.04, -0.43, -0.30],
            [0.90, 0.36, -0.16, -0.09],
            [0.96, 0.61, 0.14, 0.12],
        ]
    ),
    np.array(
        [
            [0.77, 0.38, -0.31, -0.21],
            [0.90, 0.60, -0.12, -0.13],
            [0.96, 0.82, 0.20, 0.09],
            [0.98, 0.92, 0.47, 0.29],
        ]
    ),
)
#: in 2016 CMSSW calls the loosest tight and the tightest loose, and so does NanoAODv9: 1, 3, 7 are nested
_OF_2016: tuple[Cuts, Cuts, Cuts] = (
    np.array(
        [
            [0.71, -0.32, -0.30, -0.22],
            [0.87, -0.08, -0.16, -0.12],
            [0.94, 0.24, 0.05, 0.10],
            [0.97, 0.48, 0.26, 0.29],
        ]
    ),
    np.array(
        [
            [0.20, -0.56, -0.43, -0.38],
            [0.62, -0.39, -0.32, -0.29],
            [0.86, -0.10, -0.15, -0.08],
            [0.93, 0.19, 0.04, 0.12],
        ]
    ),
    np.array(
        [
            [-0.95, -0.70, -0.52, -0.49],
            [-0.90, -0.57, -0.43, -0.42],
            [-0.71, -0.36, -0.29, -0.23],
            [-0.42, -0.09, -0.14, -0.02],
        ]
    ),
)


@dataclass(frozen=True)
class Era:
    """What is defined for one period.

    Attributes
    ----------
    told : str
        What it is, for people.
    profile : str
        Its pileup and its beam spot.
    energy_tev : float
        Of its collisions.
    pileup_id : tuple of arrays of shape (4, 4), optional
        Cuts of the bits 4, 2 and 1; none where they are not known.
    """

    told: str
    profile: str
    energy_tev: float
    pileup_id: tuple[Cuts, Cuts, Cuts] | None = None

    @property
    def beam_spot_z(self) -> tuple[float, float]:
        """Centre and width of the luminous region along the beam [cm]."""
        profile = find_profile(self.profile)
        return profile.beam_spot_cm[2], profile.spread_cm[2]


ERAS = {
    "UL16preVFP": Era("2016, the first part (APV)", "Run2_2016preVFP", 13.0, _OF_2016),
    "UL16postVFP": Era("2016, the second part", "Run2_2016postVFP", 13.0, _OF_2016),
    "UL17": Era("2017", "Run2_2017", 13.0, _OF_2018),
    "UL18": Era("2018", "Run2_2018", 13.0, _OF_2018),
    "Run3_2022": Era("2022", "Run3_2022", 13.6),
}

#: campaigns of simulation, and conditions (global tags), that are of an era; the first that is found counts
_MARKS: tuple[tuple[str, str], ...] = (
    (r"RunIISummer(?:19|20)UL16\w*APV|106X_mcRun2_asymptotic_preVFP_v\d", "UL16preVFP"),
    (r"RunIISummer(?:19|20)UL16|106X_mcRun2_asymptotic_v\d", "UL16postVFP"),
    (r"RunIISummer(?:19|20)UL17|106X_mc2017_realistic_v\d", "UL17"),
    (r"RunIISummer(?:19|20)UL18|106X_upgrade2018_realistic_v\d", "UL18"),
    (r"Run3Summer22|\d{3}X_mcRun3_2022_realistic", "Run3_2022"),
)
#: how campaigns of simulation are called, whether or not they are known here
_CAMPAIGN = re.compile(r"(?:RunII|Run3)(?:Winter|Spring|Summer|Fall|Autumn)\d{2}(?:UL\d{2})?")


def find_era(name: str) -> Era:
    """The period `name`; `ConfigError` if it is not known."""
    if name not in ERAS:
        raise ConfigError(f"unknown era '{name}'{nearest(name, list(ERAS))} (known: {', '.join(ERAS)})")
    return ERAS[name]


def era_of_version(version: str) -> str:
    """The era that what is of a version counts as where nothing tells it; `version` may be empty: unknown."""
    return _RUN3 if version and int(version[1:]) >= _RUN3_NANO else DEFAULT


def era_in(text: str) -> str:
    """The era that the name of a dataset, a file or a global tag tells; empty if none.

    Raises
    ------
    ConfigError
        If it is of a campaign whose era is not known.
    """
    for pattern, era in _MARKS:
        if re.search(pattern, text):
            return era
    other = _CAMPAIGN.search(text)
    if other:
        raise ConfigError(f"the era of campaign {other[0]} is not known (known: {', '.join(ERAS)})")
    return ""


def era_of_profile(profile: str) -> str:
    """The era whose pileup this is; empty for one of no era."""
    return next((name for name, era in ERAS.items() if era.profile == profile), "")


@dataclass(frozen=True)
class OfBundle:
    """The era of a bundle.

    Attributes
    ----------
    bundle : str
        Its name.
    era : str
    is_said : bool
        Whether its manifest says so; older ones do not.
    """

    bundle: str
    era: str
    is_said: bool

    def profile_for(self, profile: str, energy_tev: float, wanted: str = "") -> tuple[str, tuple[str, ...]]:
        """The pileup profile of a request that has `profile` by its card, and what is to be told of it.

        A card that says nothing else than what all cards say goes with the bundle. A bundle that does not
        say its era may still be used at another energy than that of its own, which is told.

        Parameters
        ----------
        wanted : str
            The era that was asked for, if one was.

        Raises
        ------
        ConfigError
            If `wanted` is not known.
        RequestError
            If the request is of another era than the bundle.
        """
        if wanted and (tev := find_era(wanted).energy_tev) != energy_tev:
            raise RequestError(
                f"era {wanted} is of {tev:g} TeV, the request of {energy_tev:g} TeV; say --energy {tev:g}"
            )
        own, other = ERAS[self.era], wanted or era_of_profile(profile)
        if not other or (other == self.era and profile == own.profile):
            return profile, ()
        same_energy = energy_tev == own.energy_tev
        if same_energy and (other == self.era or (not wanted and other == DEFAULT)):
            return own.profile, (f"pileup and beam spot are those of {self}, {own.profile}",)
        if not self.is_said and not same_energy:
            return profile, (
                f"the request is of {other}, and {self}: working points and OtherPV_z are of {self.era}",
            )
        energy = "" if same_energy else f", or ask for its energy: --energy {own.energy_tev:g}"
        raise RequestError(
            f"the request is of {other} at {energy_tev:g} TeV, and {self}; {self._remedy}{energy}"
        )

    def check_told(self, told: str, where: str, wanted: str = "") -> tuple[str, ...]:
        """What is to be told of input that is of the era `told`; `RequestError` if that contradicts.

        An era that was asked for knowingly goes before what the input tells.
        """
        if told in ("", self.era):
            return ()
        if wanted == self.era:
            return (f"{where} is of {told}, and simulated as of {wanted}",)
        if not self.is_said and ERAS[told].energy_tev != ERAS[self.era].energy_tev:
            return ()
        raise RequestError(
            f"{where} is of {told}, and {self}; {self._remedy}, or simulate it so knowingly: --era {self.era}"
        )

    @property
    def _remedy(self) -> str:
        return "take a bundle of that era (--bundle; see: bundle show)"

    def __str__(self) -> str:
        return f"bundle {self.bundle} of {self.era}"
