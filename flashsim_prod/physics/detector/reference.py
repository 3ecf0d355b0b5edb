"""The reference detector as a whole: generator-level events in, NanoAOD-like events out.

A parametric stand-in for a full detector simulation. It gives training, tests and closure something with
plausible ranges, discrete values, spikes and correlations; it does not simulate a detector.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from flashsim_prod.physics import links
from flashsim_prod.physics.detector.draws import stream
from flashsim_prod.physics.detector.event_scalars import other_vertices, simulate_event
from flashsim_prod.physics.detector.jet_composition import with_composition
from flashsim_prod.physics.detector.jet_taggers import with_taggers
from flashsim_prod.physics.detector.jets import reconstruct_jets
from flashsim_prod.physics.detector.met import simulate_met
from flashsim_prod.physics.detector.muon_identification import with_identification, with_reconstruction_kind
from flashsim_prod.physics.detector.muon_isolation import with_isolation
from flashsim_prod.physics.detector.muon_tracks import reconstruct_muons
from flashsim_prod.physics.detector.truth import view_truth
from flashsim_prod.physics.events import Collection, Events

_FLOAT, _INT, _BYTE, _BOOL = np.float32, np.int32, np.uint8, np.bool_


def _types(**names: str) -> MappingProxyType[str, type[np.generic]]:
    kinds: dict[str, type[np.generic]] = {"floats": _FLOAT, "ints": _INT, "bytes": _BYTE, "bools": _BOOL}
    return MappingProxyType({name: kinds[kind] for kind, line in names.items() for name in line.split()})


#: NanoAODv9 columns of the collections written, with their types
JET_COLUMNS = _types(
    floats="area btagCSVV2 btagDeepB btagDeepCvB btagDeepCvL btagDeepFlavB btagDeepFlavCvB btagDeepFlavCvL"
    " btagDeepFlavQG chEmEF chFPV0EF chHEF eta mass muEF muonSubtrFactor neEmEF neHEF phi pt puIdDisc qgl"
    " rawFactor bRegCorr bRegRes cRegCorr cRegRes hfsigmaEtaEta hfsigmaPhiPhi",
    ints="jetId muonIdx1 muonIdx2 nMuons puId genJetIdx hadronFlavour partonFlavour hfadjacentEtaStripsSize"
    " hfcentralEtaStripSize",
    bytes="nConstituents cleanmask",
)
MUON_COLUMNS = _types(
    floats="dxy dxyErr dxybs dz dzErr eta ip3d jetPtRelv2 jetRelIso mass miniPFRelIso_all miniPFRelIso_chg"
    " pfRelIso03_all pfRelIso03_chg pfRelIso04_all phi pt ptErr segmentComp sip3d softMva tkRelIso tunepRelPt"
    " mvaLowPt mvaTTH",
    ints="charge jetIdx nStations nTrackerLayers pdgId tightCharge genPartIdx",
    bytes="highPtId jetNDauCharged miniIsoId multiIsoId mvaId mvaLowPtId pfIsoId puppiIsoId tkIsoId"
    " genPartFlav cleanmask",
    bools="highPurity inTimeMuon isGlobal isPFcand isStandalone isTracker looseId mediumId mediumPromptId"
    " softId softMvaId tightId triggerIdLoose",
)


class ReferenceDetector:
    """Parametric detector response, vectorised over events and objects.

    Examples
    --------
    >>> reco = ReferenceDetector().simulate(gen_events, seed=1)  # doctest: +SKIP
    >>> reco["Jet"]["pt"]  # doctest: +SKIP
    """

    def simulate(self, folds: Events, *, seed: int) -> Events:
        """`folds` with reconstructed collections and scalars added.

        Parameters
        ----------
        folds : Events
            Generator-level events: GenPart, GenJet, GenMET and Pileup; GenVtx is used if it is there.
            Every event is simulated by itself, so the copies of an oversampled event come out different.
        seed : int
            Decides all draws; the same events and seed give the same output.

        Returns
        -------
        Events
            Jet, Muon and OtherPV collections (the first two sorted by falling pt, links filled); MET,
            PuppiMET, RawMET, RawPuppiMET, TkMET, ChsMET, CaloMET, PV, fixedGridRhoFastjet and
            SoftActivityJet scalars.

        Raises
        ------
        InputError
            A generator-level branch is missing.
        """
        truth = view_truth(folds)
        event, scalars = simulate_event(stream(seed, "event"), truth)
        tracks = reconstruct_muons(stream(seed, "muon tracks"), truth, event)
        muons = with_reconstruction_kind(stream(seed, "muon kind"), tracks)
        jets = reconstruct_jets(stream(seed, "jets"), truth, event, muons)
        jets = with_composition(stream(seed, "jet composition"), jets, event)
        jets = with_taggers(stream(seed, "jet taggers"), jets, event).sorted_by("pt")
        muons = with_isolation(stream(seed, "muon isolation"), muons, jets, truth, event)
        muons = with_identification(stream(seed, "muon identification"), muons).sorted_by("pt")
        scalars |= simulate_met(stream(seed, "met"), truth, event, jets, muons)
        other = other_vertices(stream(seed, "other vertices"), scalars)
        return _linked(folds, jets, muons, other).with_scalars(scalars)


def _linked(folds: Events, jets: Collection, muons: Collection, other: Collection) -> Events:
    gen_jets, gen_parts = folds["GenJet"], folds["GenPart"]
    gen_jet = links.jet_gen_jet(jets, gen_jets)
    parton, hadron = links.jet_flavours(gen_jet, gen_jets)
    unmatched = gen_jet < 0
    particle = links.muon_gen_part(muons, gen_parts)
    jet_of_muon = links.lepton_jet(muons, jets, muons["isPFcand"].astype(bool))
    first, second, number = links.jet_leptons(jet_of_muon, muons, jets)
    muons = muons.with_columns(
        pdgId=-13 * muons["charge"],
        jetIdx=links.local(jet_of_muon, jets),
        genPartIdx=links.local(particle, gen_parts),
        genPartFlav=links.lepton_flavour(gen_parts, particle),
        cleanmask=links.muon_cleanmask(muons),
    )
    selected = np.where(muons["cleanmask"] > 0, jet_of_muon, -1)
    jets = jets.with_columns(
        genJetIdx=links.local(gen_jet, gen_jets),
        partonFlavour=np.where(unmatched, jets["parton"], parton),
        hadronFlavour=np.where(unmatched, 0, hadron),
        muonIdx1=first,
        muonIdx2=second,
        nMuons=number,
        cleanmask=links.jet_cleanmask(jets, [selected]),
    )
    return folds.with_collections(
        {"Jet": _typed(jets, JET_COLUMNS), "Muon": _typed(muons, MUON_COLUMNS), "OtherPV": other}
    )


def _typed(objects: Collection, columns: MappingProxyType[str, type[np.generic]]) -> Collection:
    """Only the NanoAOD columns, in their types."""
    return Collection(objects.counts, {name: objects[name].astype(kind) for name, kind in columns.items()})
