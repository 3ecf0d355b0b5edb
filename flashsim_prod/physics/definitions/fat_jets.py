"""Fat jets and their subjets: which belong together, and what follows from the pair.

Shared by the reference detector and the chain. SubJets carry the flat position of their fat jet as
``fat_jet`` until `link` turns it into the links that NanoAOD stores.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.boosted import (
    RADIUS,
    four_momentum,
    hadrons,
    invariant_mass,
    prongs,
    sum_of,
)
from flashsim_prod.physics.definitions.links import Bools, Floats, Positions
from flashsim_prod.physics.events import Collection, Column, Events

#: NanoAODv9 keeps no fat jet below this, nor grooms one whose uncalibrated pt is below it [GeV]
LOWEST_PT = 170.0
#: energy correlations of three points are worked out for groomed jets above this uncalibrated pt [GeV]
LOWEST_PT_N3 = 250.0
#: N2 and N3 of jets that were not groomed, and of those with too few particles or too soft
NOT_GROOMED, TOO_FEW = -99999.0, -1.0
#: calibration's share of pt at 220 GeV by abs(eta), and the power of pt it falls with
_CALIBRATED_ETA = np.array([0.0, 0.8, 1.0, 1.3, 1.6, 2.0, 2.4, 3.0])
_CALIBRATION = np.array([0.061, 0.064, 0.074, 0.107, 0.118, 0.128, 0.150, 0.152])
_CALIBRATION_POWER = np.array([0.09, 0.09, 0.10, 0.20, 0.40, 0.45, 0.30, 0.20])
#: the distance of prongs grows with the fat jet's mass to this power
_SPREAD = 0.6


def raw_pt(jets: Collection) -> Floats:
    """Uncalibrated transverse momentum [GeV]."""
    return np.asarray(jets["pt"].astype(np.float64) * (1.0 - jets["rawFactor"].astype(np.float64)))


def typical_raw_factor(pt: Column, eta: Column) -> Floats:
    """About what 1 - (uncalibrated pt) / pt is for PUPPI jets of this pt [GeV] in Run 2."""
    at_220 = np.interp(np.abs(eta), _CALIBRATED_ETA, _CALIBRATION)
    power = np.interp(np.abs(eta), _CALIBRATED_ETA, _CALIBRATION_POWER)
    return np.asarray(at_220 * (np.maximum(pt, 1.0).astype(np.float64) / 220.0) ** -power)


def is_groomed(fat_jets: Collection) -> Bools:
    """Whether a fat jet was groomed, and has subjets therefore.

    Where the links are known they say so; else the uncalibrated pt does.
    """
    if "subJetIdx1" in fat_jets:
        return np.asarray(fat_jets["subJetIdx1"] >= 0)
    return raw_pt(fat_jets) > LOWEST_PT


def with_gen_jets(fat_jets: Collection, events: Events) -> Collection:
    """Fat jets with genJetAK8Idx, and the numbers and flavour of the hadrons inside."""
    gen_jets = events["GenJetAK8"]
    return fat_jets.with_columns(
        genJetAK8Idx=links.local(gen_fat_jet(fat_jets, gen_jets), gen_jets),
        **with_flavour(
            {
                name: _inside(hadrons(events["GenPart"], quark), fat_jets)
                for name, quark in (("nBHadrons", 5), ("nCHadrons", 4))
            }
        ),
    )


def gen_fat_jet(fat_jets: Collection, gen_jets: Collection) -> Positions:
    """Generated jet of each fat jet: within 0.8, one-to-one, fat jets in the order of pt."""
    return links.match_in_order(*links.close_pairs(fat_jets, gen_jets, RADIUS), fat_jets.n_objects)


def with_flavour(numbers: dict[str, Positions]) -> dict[str, Column]:
    """nBHadrons and nCHadrons in their types, with the hadronFlavour that follows."""
    flavour = np.select([numbers["nBHadrons"] > 0, numbers["nCHadrons"] > 0], [5, 4], 0)
    counted = {name: number.astype(np.uint8) for name, number in numbers.items()}
    return {"hadronFlavour": flavour.astype(np.int32), **counted}


def _inside(particles: Collection, jets: Collection) -> Positions:
    jet, _ = links.nearest(particles, jets, RADIUS)
    return np.bincount(jet[jet >= 0], minlength=jets.n_objects).astype(np.int64)


# ---------------------------------------------------------------- subjets


def prong_rows(events: Events, fat_jets: Collection) -> dict[str, Column]:
    """The generated prongs of groomed fat jets, a row each, and what is to be expected of them.

    Parameters
    ----------
    events : Events
        With GenJetAK8, SubGenJetAK8 and GenPart.
    fat_jets : Collection
        With pt, eta, phi, mass, rawFactor and, if they have been linked already, genJetAK8Idx.

    Returns
    -------
    dict of name to array of shape (n_prongs,)
        ``event``; ``fat_jet`` and ``prong``, flat positions in FatJet and SubGenJetAK8; ``rank``, 0 for the
        harder one; ``expected_pt``, ``expected_eta``, ``expected_phi`` and ``expected_mass``: the prong moved
        with its fat jet, scaled by the response of pt, and spread by what the mass was off by; ``hadron_b``
        and ``hadron_c``, hadrons nearest to it.
    """
    gen_jets, subjets = events["GenJetAK8"], events["SubGenJetAK8"]
    if "genJetAK8Idx" in fat_jets:
        gen = links.flat(fat_jets["genJetAK8Idx"], fat_jets, gen_jets)
    else:
        gen = gen_fat_jet(fat_jets, gen_jets)
    groomed = np.flatnonzero(is_groomed(fat_jets) & (gen >= 0))
    prong = np.stack(prongs(gen_jets, subjets), axis=1)[gen[groomed]]
    row, rank = np.nonzero(prong >= 0)
    fat_jet, prong = groomed[row], prong[row, rank]
    inside = {
        name: _inside(hadrons(events["GenPart"], quark), subjets) for name, quark in (("b", 5), ("c", 4))
    }
    return {
        "event": fat_jets.event_index[fat_jet],
        "fat_jet": fat_jet,
        "prong": prong,
        "rank": rank,
        **_expected(fat_jets, fat_jet, gen_jets, gen[fat_jet], subjets, prong),
        **{f"hadron_{name}": number[prong] for name, number in inside.items()},
    }


def _expected(
    fat_jets: Collection,
    fat_jet: Positions,
    gen_jets: Collection,
    gen: Positions,
    subjets: Collection,
    prong: Positions,
) -> dict[str, Floats]:
    """The prongs as their fat jets were seen."""
    ratio = fat_jets["pt"][fat_jet].astype(np.float64) / np.maximum(gen_jets["pt"][gen], 1.0)
    gen_mass = np.maximum(gen_jets["mass"][gen].astype(np.float64), 0.1)
    wider = np.clip(fat_jets["mass"][fat_jet] / (gen_mass * ratio), 0.3, 3.0) ** _SPREAD
    d_eta = subjets["eta"][prong].astype(np.float64) - gen_jets["eta"][gen]
    d_phi = links.delta_phi(subjets["phi"][prong], gen_jets["phi"][gen])
    phi = fat_jets["phi"][fat_jet] + wider * d_phi
    return {
        "expected_pt": subjets["pt"][prong] * ratio,
        "expected_eta": fat_jets["eta"][fat_jet] + wider * d_eta,
        "expected_phi": (phi + np.pi) % (2 * np.pi) - np.pi,
        "expected_mass": np.maximum(subjets["mass"][prong].astype(np.float64), 0.0) * ratio,
    }


def in_order(subjets: Collection) -> Collection:
    """At most two subjets of each fat jet, in the order of the fat jets, the harder one first."""
    order = np.lexsort((-subjets["pt"], subjets["fat_jet"]))
    owner = subjets["fat_jet"][order]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    rank = np.arange(len(owner)) - np.repeat(first, np.diff(first, append=len(owner)))
    kept = order[rank < 2]
    counts = np.bincount(subjets.event_index[kept], minlength=subjets.n_events).astype(np.int64)
    return Collection(counts, {name: column[kept] for name, column in subjets.columns.items()})


def link(events: Events) -> Events:
    """The events with the links of fat jets to subjets and leptons, and what follows from them.

    `events` need FatJet, and SubJet in the order of `in_order`; Electron and Muon are taken where they are
    there. Without ``fat_jet`` the subjets have been linked already.
    """
    fat_jets, subjets = events["FatJet"], events["SubJet"]
    if "fat_jet" not in subjets:
        return events
    slots = _subjets_of(fat_jets, subjets)
    there = slots[0] >= 0
    fat_jets = fat_jets.with_columns(
        subJetIdx1=links.local(slots[0], subjets),
        subJetIdx2=links.local(slots[1], subjets),
        msoftdrop=soft_drop_mass(subjets, slots),
        **{
            name: np.where(there, fat_jets[name], NOT_GROOMED).astype(np.float32) for name in ("n2b1", "n3b1")
        },
    )
    fat_jets = fat_jets.with_columns(**_leptons(events, fat_jets, subjets, slots))
    subjets = subjets.with_columns(**_subjet_flavours(events["GenPart"], fat_jets, subjets))
    columns = {name: column for name, column in subjets.columns.items() if name != "fat_jet"}
    return events.with_collections({"FatJet": fat_jets, "SubJet": Collection(subjets.counts, columns)})


def _subjets_of(fat_jets: Collection, subjets: Collection) -> tuple[Positions, Positions]:
    """First and second subjet of each fat jet, -1 for none."""
    owner = subjets["fat_jet"]
    first = np.diff(owner, prepend=-1) != 0
    slots = np.full((2, fat_jets.n_objects), -1, np.int64)
    for slot, chosen in enumerate((first, ~first)):
        slots[slot, owner[chosen]] = np.flatnonzero(chosen)
    return slots[0], slots[1]


def soft_drop_mass(subjets: Collection, slots: tuple[Positions, Positions]) -> Column:
    """msoftdrop [GeV]: the mass of the sum of a jet's calibrated subjets, -1 without any."""
    mass = invariant_mass(sum_of(four_momentum(subjets), slots))
    return np.where(slots[0] >= 0, mass, -1.0).astype(np.float32)


def _subjet_flavours(gen_parts: Collection, fat_jets: Collection, subjets: Collection) -> dict[str, Column]:
    """Hadrons of each subjet: those in its fat jet that no other subjet is nearer to."""
    numbers: dict[str, Positions] = {}
    for name, quark in (("nBHadrons", 5), ("nCHadrons", 4)):
        particles = hadrons(gen_parts, quark)
        fat_jet, _ = links.nearest(particles, fat_jets, RADIUS)
        subjet, _ = links.nearest(particles, subjets, RADIUS)
        inside = (subjet >= 0) & (links.linked_value(subjets["fat_jet"], subjet, -2) == fat_jet)
        numbers[name] = np.bincount(subjet[inside], minlength=subjets.n_objects).astype(np.int64)
    return with_flavour(numbers)


# ---------------------------------------------------------------- leptons


def _leptons(
    events: Events, fat_jets: Collection, subjets: Collection, slots: tuple[Positions, Positions]
) -> dict[str, Column]:
    """electronIdx3SJ, muonIdx3SJ and lsf3: the hardest electron inside, else the hardest muon.

    The lepton subjet fraction is the lepton's pt over that of the subjet around it. Of three subjets only
    two are stored; the third takes from what is beside the lepton in the nearest one, the more the less of
    tau2 is left in tau3.
    """
    nowhere = np.full(fat_jets.n_objects, -1, np.int64)
    electron = _hardest(events["Electron"], fat_jets) if "Electron" in events else nowhere
    muon = np.where(electron < 0, _hardest(events["Muon"], fat_jets), -1) if "Muon" in events else nowhere
    fraction = np.full(fat_jets.n_objects, -1.0)
    columns: dict[str, Column] = {}
    for name, collection, lepton in (("electronIdx3SJ", "Electron", electron), ("muonIdx3SJ", "Muon", muon)):
        there = np.flatnonzero(lepton >= 0)
        columns[name] = lepton.astype(np.int32)
        if len(there):
            leptons = events[collection]
            columns[name] = links.local(lepton, leptons)
            around = _pt_around(there, leptons, lepton[there], fat_jets, subjets, slots)
            fraction[there] = leptons["pt"][lepton[there]] / around
    return columns | {"lsf3": fraction.astype(np.float32)}


def _hardest(leptons: Collection, fat_jets: Collection) -> Positions:
    """The hardest lepton in each jet; -1 for none."""
    jet, _ = links.nearest(leptons, fat_jets, RADIUS)
    inside = np.flatnonzero(jet >= 0)
    order = inside[np.argsort(leptons["pt"][inside], kind="stable")]
    hardest = np.full(fat_jets.n_objects, -1, np.int64)
    # of several assignments to one jet the last stands: the hardest
    hardest[jet[order]] = order
    return hardest


def _pt_around(
    jets: Positions,
    leptons: Collection,
    lepton: Positions,
    fat_jets: Collection,
    subjets: Collection,
    slots: tuple[Positions, Positions],
) -> Floats:
    """Uncalibrated pt [GeV] of the one of three subjets around a lepton of each of these jets."""
    own = leptons["pt"][lepton].astype(np.float64)
    pt = (raw_pt(fat_jets)[jets] + own) / 2.0
    least = np.full(len(jets), np.inf)
    for slot in slots:
        there = np.flatnonzero(slot[jets] >= 0)
        subjet = slot[jets[there]]
        distance = links.delta_r(leptons, subjets, lepton[there], subjet)
        nearer = distance < least[there]
        least[there[nearer]] = distance[nearer]
        pt[there[nearer]] = raw_pt(subjets)[subjet[nearer]]
    tau2, tau3 = (fat_jets[name][jets].astype(np.float64) for name in ("tau2", "tau3"))
    kept = 0.5 + 0.5 * np.divide(tau3, tau2, out=np.ones_like(tau2), where=tau2 > 0)
    return np.asarray(np.where(pt > own, own + kept * (pt - own), pt))
