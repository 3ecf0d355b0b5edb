"""Sets of Pythia8 settings for the underlying event, by name."""

from __future__ import annotations

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError

_TUNES: dict[str, tuple[str, ...]] = {
    # arXiv:1903.12179, table 2; Pythia's PDF set 20 is NNPDF3.1 NNLO with alpha_s = 0.118
    "CP5": (
        "Tune:pp = 14",
        "Tune:ee = 7",
        "PDF:pSet = 20",
        "MultipartonInteractions:ecmPow = 0.03344",
        "MultipartonInteractions:bProfile = 2",
        "MultipartonInteractions:pT0Ref = 1.41",
        "MultipartonInteractions:coreRadius = 0.7634",
        "MultipartonInteractions:coreFraction = 0.63",
        "MultipartonInteractions:alphaSvalue = 0.118",
        "MultipartonInteractions:alphaSorder = 2",
        "ColourReconnection:range = 5.176",
        "SigmaTotal:zeroAXB = off",
        "SpaceShower:alphaSvalue = 0.118",
        "SpaceShower:alphaSorder = 2",
        "TimeShower:alphaSvalue = 0.118",
        "TimeShower:alphaSorder = 2",
        "SigmaProcess:alphaSvalue = 0.118",
        "SigmaProcess:alphaSorder = 2",
        # recoil in top decays as in the Pythia 8.2 that the tune was made with
        "TimeShower:recoilStrategyRF = 1",
    ),
    # arXiv:1404.5630, Pythia's own default
    "Monash": ("Tune:pp = 14", "Tune:ee = 7"),
}


def tune_settings(name: str) -> tuple[str, ...]:
    """The Pythia8 settings of the tune `name`; `ConfigError` if there is none."""
    if name not in _TUNES:
        raise ConfigError(f"unknown tune '{name}'{nearest(name, list(_TUNES))}")
    return _TUNES[name]
