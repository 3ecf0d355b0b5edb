"""What follows from finished collections: links, flavours and masks, as NanoAOD defines them."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import egamma_links, fat_jets, links
from flashsim_prod.physics.definitions.constituents import candidates
from flashsim_prod.physics.definitions.fsr import with_fsr_photons
from flashsim_prod.physics.definitions.jets_muons import muon_mass, parton_flavour
from flashsim_prod.physics.definitions.taus import with_tau_jets
from flashsim_prod.physics.events import Collection, Events

#: attributes that `link` makes of other collections than their own, and which these are
LINKED = {
    **dict.fromkeys(("Jet_muonIdx1", "Jet_muonIdx2", "Jet_nMuons"), ("Muon",)),
    **dict.fromkeys(("Jet_electronIdx1", "Jet_electronIdx2", "Jet_nElectrons"), ("Electron",)),
    "Jet_cleanmask": ("Muon", "Electron"),
    "Muon_jetIdx": ("Jet",),
    "Muon_fsrPhotonIdx": ("FsrPhoton",),
    "Electron_jetIdx": ("Jet",),
    "Electron_photonIdx": ("Photon",),
    "Photon_jetIdx": ("Jet",),
    "Photon_electronVeto": ("Electron",),
    "Tau_jetIdx": ("Jet",),
    **dict.fromkeys(
        tuple(f"FatJet_{name}" for name in ("subJetIdx1", "subJetIdx2", "msoftdrop", "n2b1", "n3b1")),
        ("SubJet",),
    ),
    **dict.fromkeys(
        ("FatJet_electronIdx3SJ", "FatJet_muonIdx3SJ", "FatJet_lsf3"), ("SubJet", "Electron", "Muon")
    ),
    **dict.fromkeys(
        ("JetPFCands", *(f"JetPFCands_{name}" for name in ("pt", "pFCandsIdx", "jetIdx"))), ("PFCands",)
    ),
    **dict.fromkeys(
        tuple(f"SubJet_{name}" for name in ("hadronFlavour", "nBHadrons", "nCHadrons")), ("FatJet",)
    ),
}


def complete(events: Events) -> Events:
    """The events with every link, flavour and mask that its collections allow.

    Parameters
    ----------
    events : Events
        With GenPart, GenJet, and Jet and Muon sorted by pt. ``Jet_partonFlavour`` is kept for jets without
        a generator jet, which the generator says nothing about.
    """
    jets = with_gen_jets(events["Jet"], events["GenJet"])
    muons = with_gen_parts(events["Muon"], events["GenPart"])
    return link(events.with_collections({"Jet": jets, "Muon": muons}))


def link(events: Events) -> Events:
    """The events with the links between their reconstructed collections."""
    if "Jet" in events and "Muon" in events:
        events = events.with_collections(_linked(events["Jet"], events["Muon"]))
    if "FsrPhoton" in events and "Muon" in events:
        events = events.with_collections({"Muon": with_fsr_photons(events["Muon"], events["FsrPhoton"])})
    events = egamma_links.link(events)
    if "FatJet" in events and "SubJet" in events:
        events = fat_jets.link(events)
    if "Tau" in events and "Jet" in events:
        events = events.with_collections({"Tau": with_tau_jets(events["Tau"], events["Jet"])})
    return candidates.link(events)


def with_gen_jets(jets: Collection, gen_jets: Collection) -> Collection:
    """Jets with genJetIdx and flavours, which follow from those of their generator jets."""
    gen_jet = links.jet_gen_jet(jets, gen_jets)
    generated, hadron = links.jet_flavours(gen_jet, gen_jets)
    parton = parton_flavour(generated, links.lots(jets["eta"], jets["phi"]))
    return jets.with_columns(
        genJetIdx=links.local(gen_jet, gen_jets),
        partonFlavour=np.where(gen_jet < 0, jets["partonFlavour"], parton).astype(np.int32),
        hadronFlavour=hadron,
    )


def with_gen_parts(muons: Collection, gen_parts: Collection) -> Collection:
    """Muons with genPartIdx, genPartFlav, mass, and what follows from charge and identification."""
    particle = links.muon_gen_part(muons, gen_parts)
    return muons.with_columns(
        pdgId=-13 * muons["charge"].astype(np.int32),
        mass=muon_mass(muons["isPFcand"]),
        genPartIdx=links.local(particle, gen_parts),
        genPartFlav=links.lepton_flavour(gen_parts, particle),
        cleanmask=links.muon_cleanmask(muons),
    )


def _linked(jets: Collection, muons: Collection) -> dict[str, Collection]:
    jet_of_muon = links.lepton_jet(muons, jets, muons["isPFcand"].astype(bool))
    first, second, number = links.jet_leptons(jet_of_muon, muons, jets)
    selected = np.where(muons["cleanmask"] > 0, jet_of_muon, -1)
    return {
        "Jet": jets.with_columns(
            muonIdx1=first,
            muonIdx2=second,
            nMuons=number,
            cleanmask=links.jet_cleanmask(jets, [selected]),
        ),
        "Muon": muons.with_columns(jetIdx=links.local(jet_of_muon, jets)),
    }
