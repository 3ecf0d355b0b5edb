"""The reference detector as a whole: generator-level events in, NanoAOD-like events out.

A parametric stand-in for a full detector simulation. It gives training, tests and closure something with
plausible ranges, discrete values, spikes and correlations; it does not simulate a detector.
"""

from __future__ import annotations

from flashsim_prod.physics.definitions.completion import complete
from flashsim_prod.physics.definitions.constituents.candidates import link
from flashsim_prod.physics.definitions.vertices import MOST_OTHER_VERTICES, other_vertices
from flashsim_prod.physics.detector.constituents import simulate_constituents
from flashsim_prod.physics.detector.draws import stream
from flashsim_prod.physics.detector.event_scalars import EventLatents, simulate_event
from flashsim_prod.physics.detector.fsr_photons import simulate_fsr_photons
from flashsim_prod.physics.detector.jet_composition import with_composition
from flashsim_prod.physics.detector.jet_taggers import with_taggers
from flashsim_prod.physics.detector.jets import reconstruct_jets
from flashsim_prod.physics.detector.met import simulate_met
from flashsim_prod.physics.detector.muon_identification import with_identification, with_reconstruction_kind
from flashsim_prod.physics.detector.muon_isolation import with_isolation
from flashsim_prod.physics.detector.muon_tracks import reconstruct_muons
from flashsim_prod.physics.detector.photons import simulate_electrons_and_photons
from flashsim_prod.physics.detector.subjets import simulate_fat_jets
from flashsim_prod.physics.detector.tau_discriminators import simulate_taus
from flashsim_prod.physics.detector.truth import view_truth
from flashsim_prod.physics.detector.vertices import find_vertices
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema


class ReferenceDetector:
    """Parametric detector response, vectorised over events and objects.

    Parameters
    ----------
    schema : Schema, optional
        Which attributes its objects keep, and their types; those of the version that is made by default.
    constituents : bool
        Whether jets come with their constituents, PFCands and JetPFCands; all else is the same.
    """

    def __init__(self, schema: Schema | None = None, *, constituents: bool = False) -> None:
        self.schema = schema or Schema.default()
        self.constituents = constituents

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
            With Jet, Muon, FsrPhoton, Electron and Photon in NanoAOD's order, with links, and OtherPV;
            FatJet and SubJet if there are GenJetAK8 and SubGenJetAK8, Tau and SV if there is GenVisTau;
            MET, PuppiMET, RawMET, RawPuppiMET, TkMET, ChsMET, CaloMET, PV,
            fixedGridRhoFastjet and SoftActivityJet scalars.

        Raises
        ------
        InputError
            A generator-level branch is missing.
        """
        truth = view_truth(folds)
        event, scalars = simulate_event(stream(seed, "event"), truth)
        muons = reconstruct_muons(stream(seed, "muon tracks"), truth, event)
        muons = with_reconstruction_kind(stream(seed, "muon kind"), muons)
        jets = reconstruct_jets(stream(seed, "jets"), truth, event, muons)
        jets = with_composition(stream(seed, "jet composition"), jets, event)
        jets = with_taggers(stream(seed, "jet taggers"), jets, event).sorted_by("pt")
        muons = with_isolation(stream(seed, "muon isolation"), muons, jets, truth, event)
        muons = with_identification(stream(seed, "muon identification"), muons).sorted_by("pt")
        scalars |= simulate_met(stream(seed, "met"), truth, event, jets, muons)
        normals = stream(seed, "other vertices").normal(size=(folds.n, MOST_OTHER_VERTICES))
        other = other_vertices(scalars, normals)
        photons = simulate_fsr_photons(stream(seed, "fsr photons"), truth, event.rho, muons)
        made = {"Jet": jets, "Muon": muons, "OtherPV": other, "FsrPhoton": photons}
        egamma = simulate_electrons_and_photons(seed, truth, event, jets, scalars["PV_z"])
        boosted = simulate_fat_jets(folds, seed)
        reco = complete(folds.with_collections(made | egamma | boosted))
        reco = self._as_nanoaod(reco, ("Jet", "Muon", "FsrPhoton", *egamma, *boosted)).with_scalars(scalars)
        reco = self._with_taus_and_vertices(reco, event, seed)
        if not self.constituents:
            return reco
        candidates = simulate_constituents(stream(seed, "jet constituents"), reco)
        reco = link(reco.with_collections({"PFCands": candidates}))
        return self._as_nanoaod(reco, ("PFCands", "JetPFCands"))

    def _with_taus_and_vertices(self, reco: Events, event: EventLatents, seed: int) -> Events:
        """Tau and SV, which need only what NanoAOD shows of the jets; not without GenVisTau."""
        if "GenVisTau" not in reco:
            return reco
        taus, vertices = simulate_taus(reco, event, seed), find_vertices(stream(seed, "vertices"), reco)
        return self._as_nanoaod(reco.with_collections({"Tau": taus, "SV": vertices}), ("Tau", "SV"))

    def _as_nanoaod(self, events: Events, collections: tuple[str, ...]) -> Events:
        """`events` with only the NanoAOD columns of `collections`, in their types."""
        return events.with_collections({name: self._columns(name, events[name]) for name in collections})

    def _columns(self, name: str, objects: Collection) -> Collection:
        wanted = self.schema.attributes(name)
        return Collection(
            objects.counts,
            {branch.attribute: objects[branch.attribute].astype(branch.dtype) for branch in wanted},
        )
