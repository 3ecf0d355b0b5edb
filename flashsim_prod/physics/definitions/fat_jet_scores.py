"""Scores of fat jets that follow from others, as the class probabilities of a network sum to one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flashsim_prod.physics.definitions.links import Floats
from flashsim_prod.physics.events import Column

#: scores against QCD of the families whose QCD score follows from them
_AGAINST_QCD = {
    "particleNet": ("T", "W", "Z", "Hbb", "Hcc", "H4q"),
    "deepTag": ("T", "W", "Z"),
}
#: ratio of two probabilities that are both zero
_UNDEFINED = -10.0
_DECORRELATED = ("Xbb", "Xcc", "Xqq")


def odds(score: Column) -> Floats:
    """p / (1 - p) for scores within [0, 1)."""
    p = np.clip(score.astype(np.float64), 0.0, 1.0 - 1e-6)
    return np.asarray(p / (1.0 - p))


def class_scores(known: Mapping[str, Column], families: tuple[str, ...]) -> dict[str, Floats]:
    """The scores that follow from others of the same family, as class probabilities sum to one.

    Parameters
    ----------
    known : mapping of name to array
        Scores against QCD, and: for ``particleNet`` the share ``particleNet_share`` that the stored classes
        and QCD have; for ``deepTag`` ``deepTag_H``, the share ``deepTag_share`` that the other stored classes
        and QCD have of the rest, and the share ``deepTag_others`` of QCD without heavy flavour; for
        ``particleNetMD`` odds against QCD instead of scores, under the scores' names; for ``deepTagMD`` the
        scores of Z to bb and H to bb.
    families : tuple of str
        Which of these families to work out.
    """
    found: dict[str, Floats] = {}
    sums = {
        family: 1.0 + sum(odds(known[f"{family}_{name}vsQCD"]) for name in names)
        for family, names in _AGAINST_QCD.items()
        if family in families
    }
    if "particleNet" in families:
        found["particleNet_QCD"] = known["particleNet_share"] / sums["particleNet"]
    if "deepTag" in families:
        found["deepTag_H"] = known["deepTag_H"].astype(np.float64)
        found["deepTag_QCD"] = known["deepTag_share"] * (1.0 - found["deepTag_H"]) / sums["deepTag"]
        found["deepTag_QCDothers"] = found["deepTag_QCD"] * known["deepTag_others"]
    if "particleNetMD" in families:
        against = {name: known[f"particleNetMD_{name}"] for name in _DECORRELATED}
        qcd = np.asarray(1.0 / (1.0 + sum(against.values())))
        found |= {f"particleNetMD_{name}": value * qcd for name, value in against.items()}
        found["particleNetMD_QCD"] = qcd
    if "deepTagMD" in families:
        both = odds(known["deepTagMD_ZbbvsQCD"]) + odds(known["deepTagMD_HbbvsQCD"])
        undefined = np.all([known[f"deepTagMD_{name}vsQCD"] < 0.0 for name in ("Zbb", "Hbb")], axis=0)
        found["deepTagMD_ZHbbvsQCD"] = np.where(undefined, _UNDEFINED, both / (1.0 + both))
    return found


def shares(scores: Mapping[str, Column]) -> dict[str, Floats]:
    """What `class_scores` needs beside the scores against QCD, from all scores; all within 0 and 1.

    For ``particleNetMD`` these are scores against QCD, whose `odds` `class_scores` takes.
    """

    def part(name: str, whole: str) -> Floats:
        share = scores[name] / np.maximum(scores[whole].astype(np.float64), 1e-9)
        return np.asarray(np.clip(share, 0.0, 1.0))

    def over_qcd(family: str) -> Floats:
        sums = 1.0 + sum(odds(scores[f"{family}_{name}vsQCD"]) for name in _AGAINST_QCD[family])
        return np.asarray(scores[f"{family}_QCD"] * sums)

    rest = np.maximum(1.0 - scores["deepTag_H"].astype(np.float64), 1e-9)
    found = {
        "deepTag_others": part("deepTag_QCDothers", "deepTag_QCD"),
        "deepTag_share": np.clip(over_qcd("deepTag") / rest, 0.0, 1.0),
        "particleNet_share": np.clip(over_qcd("particleNet"), 0.0, 1.0),
    }
    qcd = scores["particleNetMD_QCD"].astype(np.float64)
    for name in _DECORRELATED:
        score = scores[f"particleNetMD_{name}"].astype(np.float64)
        found[f"particleNetMD_{name}"] = score / np.maximum(score + qcd, 1e-9)
    return found
