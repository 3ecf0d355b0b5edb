"""Merging of samples with several numbers of jets: what files say that they were made for, and its settings.

Matrix elements and shower both make jets. Files made for merging are right only after a shower that throws
those events away which the matrix element of another number of jets makes: else jets are counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.core.sources.lhe import merging_of, values_of
from flashsim_prod.errors import ConfigError, InputError

_OF_ICKKW = {1: "MLM", 2: "CKKW-L", 3: "FxFx"}
_RUN_CARD = re.compile(r"(?m)^\s*([-+.\w]+)\s*=\s*(\w+)\b")
_PROCESS_CARD = re.compile(r"(?is)<MG5ProcCard>(.*?)</MG5ProcCard>")
_DEFINED = re.compile(r"(?m)^\s*define\s+(\S+)\s*=?\s*(.*)$")
_PROCESS = re.compile(r"(?m)^\s*(?:generate|add\s+process)\s+(.*)$")
_PARTONS = frozenset({"g", *"udscb", *(f"{one}~" for one in "udscb")})
#: the scale of merging beside the cut of the matrix elements, as MadGraph's own running of Pythia8 has it
_QCUT_OF_XQCUT = 1.5
_ABOUT = re.compile(r"\s*(JetMatching|Merging):", re.IGNORECASE)
#: merging that needs several samples at a time, weights of a history that is not kept, or code of the user
_OTHERS = re.compile(r"\s*(Merging:(doNL3|doUMEPS|doUNLOPS|doUser|doXSection|doDynamic)\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class MadeFor:
    """The merging that a file was made for, as its head tells.

    Attributes
    ----------
    scheme : str
        Empty for none.
    cut_gev : float or None
        Least distance of partons in the matrix elements [GeV].
    max_flavour : int or None
        PDG id of the heaviest quark that counts as light.
    most_jets : int or None
        Light partons of the process that has most of them.
    """

    scheme: str = ""
    cut_gev: float | None = None
    max_flavour: int | None = None
    most_jets: int | None = None

    def __bool__(self) -> bool:
        return bool(self.scheme)


_EXAMPLES = {
    "FxFx": "JetMatching:merge = on, JetMatching:doFxFx = on, JetMatching:qCut = 30",
    "CKKW-L": "Merging:doKTMerging = on, Merging:Process, Merging:TMS, Merging:nJetMax",
}


def made_for(head: str) -> MadeFor:
    """What the text `head` of a file, with the cards of MadGraph, says of merging."""
    said = {match[2].lower(): match[1] for match in _RUN_CARD.finditer(head)}
    scheme = _OF_ICKKW.get(round(_number(said.get("ickkw")) or 0), "")
    cut = "xqcut" if scheme in ("", "MLM") else "ptj"
    if not scheme and any((_number(said.get(one)) or 0) > 0 for one in ("ktdurham", "ptlund")):
        scheme, cut = "CKKW-L", "ktdurham"
    if not scheme:
        return MadeFor()
    flavour = _number(said.get("maxjetflavor"))
    return MadeFor(scheme, _number(said.get(cut)), None if flavour is None else round(flavour), _jets(head))


def settings_for(made: MadeFor, settings: Sequence[str], where: str) -> tuple[str, ...]:
    """`settings` with those that the merging of a file needs, which is named as `where`.

    Of MLM they are made of the head of the file, where none are given.

    Raises
    ------
    InputError
        If the file needs merging that is neither given nor can be made up.
    ConfigError
        If the settings are of another merging, or of one that cannot be done.
    """
    other = next((match[1] for one in settings if (match := _OTHERS.match(one))), None)
    if other is not None:
        raise ConfigError(f"'{other}' cannot be set: of the ways to merge, MLM, FxFx and CKKW-L can be run")
    values, chosen = values_of(settings), merging_of(settings)
    if chosen and made and chosen != made.scheme:
        raise ConfigError(f"{where} was made for {made.scheme} merging, the settings are of {chosen}")
    if not chosen and made.scheme == "MLM":
        return (*settings, *_mlm(made, values, where))
    if not chosen and made:
        raise InputError(
            f"{where}: made for {made.scheme} merging, whose scales it does not tell; without it, jets "
            f"would be counted twice; give its settings ({_EXAMPLES[made.scheme]}, ...) in a file: "
            "--shower FILE.cmnd"
        )
    if chosen:
        _check(chosen, made, values, where)
    idle = next((one for one in settings if _ABOUT.match(one)), None)
    if idle is not None and not chosen:
        raise ConfigError(f"'{idle}' does nothing: no merging is switched on; leave it out")
    return tuple(settings)


def _mlm(made: MadeFor, values: dict[str, str], where: str) -> tuple[str, ...]:
    """As MadGraph runs Pythia8 on its files; what is given goes before."""
    if not made.cut_gev or (made.most_jets is None and "jetmatching:njetmax" not in values):
        raise InputError(
            f"{where}: made for MLM merging, but its head does not tell "
            f"{'the most jets of its processes' if made.cut_gev else 'xqcut'}; say JetMatching:merge = on, "
            "JetMatching:qCut and JetMatching:nJetMax in a file: --shower FILE.cmnd"
        )
    usual = {
        "JetMatching:merge": "on",
        "JetMatching:scheme": "1",
        "JetMatching:setMad": "off",
        "JetMatching:jetAlgorithm": "2",
        "JetMatching:slowJetPower": "1",
        "JetMatching:coneRadius": "1.0",
        "JetMatching:etaJetMax": "10.0",
        "JetMatching:qCut": f"{_QCUT_OF_XQCUT * made.cut_gev:g}",
        "JetMatching:nQmatch": "5" if made.max_flavour is None or made.max_flavour >= 5 else "4",
        "JetMatching:nJetMax": str(made.most_jets),
    }
    if values.get("jetmatching:merge") is not None:
        raise InputError(f"{where}: made for MLM merging; without JetMatching:merge jets are counted twice")
    return tuple(f"{name} = {value}" for name, value in usual.items() if name.lower() not in values)


def _check(chosen: str, made: MadeFor, values: dict[str, str], where: str) -> None:
    if chosen == "CKKW-L":
        if "jetmatching:merge" in values and values["jetmatching:merge"].lower() == "on":
            raise ConfigError("settings of both JetMatching and Merging; one sample is merged in one way")
        return
    if values.get("jetmatching:scheme", "1") != "1":
        raise ConfigError("JetMatching:scheme: only 1, MadGraph's, is there; Alpgen's files cannot be merged")
    if values.get("jetmatching:doveto", "on").lower() not in ("on", "yes", "true", "ok", "1"):
        raise ConfigError("JetMatching:doVeto = off merges nothing; leave it out")
    reads_card = values.get("jetmatching:setmad", "on").lower() in ("on", "yes", "true", "ok", "1")
    cut = _number(values.get("jetmatching:qcut"))
    if chosen == "MLM" and made.cut_gev and not reads_card and cut is not None and cut < made.cut_gev:
        raise ConfigError(
            f"JetMatching:qCut = {cut:g} is below the xqcut = {made.cut_gev:g} of {where}: "
            "nothing makes the jets in between; raise it"
        )


def _jets(head: str) -> int | None:
    """The light partons of the process in MadGraph's card that has most of them."""
    card = _PROCESS_CARD.search(head)
    if card is None:
        return None
    jets = set(_PARTONS)
    for name, what in _DEFINED.findall(card[1]):
        if jets & set(what.split()):
            jets.add(name)
    # decay chains follow a comma; couplings, tags and the like are not particles
    finals = [process.split(",")[0].partition(">")[2] for process in _PROCESS.findall(card[1])]
    # intermediate states are between two arrows
    counts = [sum(word in jets for word in final.rpartition(">")[2].split()) for final in finals if final]
    return max(counts, default=None)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text.lower().replace("d", "e"))
    except ValueError:
        return None
