"""The reference detector as a whole: generator-level events in, NanoAOD-like events out.

A parametric stand-in for a full detector simulation. It gives training, tests and closure something with
plausible ranges, discrete values, spikes and correlations; it does not simulate a detector.
"""

from __future__ import annotations

from flashsim_prod.physics.definitions.completion import complete, link
from flashsim_prod.physics.definitions.constituents import candidates
from flashsim_prod.physics.definitions.vertices import MOST_OTHER_VERTICES, other_vertices
from flashsim_prod.physics.detector.constituents import simulate_constituents
from flashsim_prod.physics.detector.draws import stream
from flashsim_prod.physics.detector.eras import DEFAULT_ERA, DetectorEra
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
from flashsim_prod.physics.detector.retuning.retuned import retuned, shipped
from flashsim_prod.physics.detector.retuning.table import Table
from flashsim_prod.physics.detector.run3 import with_attributes_of_run3
from flashsim_prod.physics.detector.subjets import simulate_fat_jets
from flashsim_prod.physics.detector.tau_discriminators import simulate_taus
from flashsim_prod.physics.detector.truth import view_truth
from flashsim_prod.physics.detector.vertices import find_vertices
from flashsim_prod.physics.events import Collection, Events, full_name
from flashsim_prod.physics.nanoaod.schema import Schema, conform
from flashsim_prod.physics.nanoaod.versions.names import declared_in, writing

#: what has columns to be kept to the schema's
_MADE = ("Jet", "Muon", "FsrPhoton", "Electron", "Photon", "FatJet", "SubJet", "Tau", "SV")


class ReferenceDetector:
    """Parametric detector response, vectorised over events and objects.

    Parameters
    ----------
    schema : Schema, optional
        Which attributes its objects keep, and their types; those of the version that is made by default.
    table : Table, optional
        Distributions that attributes are moved to last, as `retuned` does; those that come with the package
        by default, an empty one for what there is before.
    era : DetectorEra
        Which years it imitates. Objects have the names that models of its version of NanoAOD declare.
    constituents : bool
        Whether jets come with their constituents, PFCands and JetPFCands; all else is the same.
    """

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        table: Table | None = None,
        era: DetectorEra = DEFAULT_ERA,
        constituents: bool = False,
    ) -> None:
        self.schema = schema or declared_in(era.nano)
        self.era = era
        self.constituents = constituents
        self._before = tuple(shipped(one) for one in era.tables[:-1])
        self.table = shipped(era.tables[-1]) if table is None else table

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
        jets = reconstruct_jets(stream(seed, "jets"), truth, event, muons, self.era.pileup_jets)
        jets = with_composition(stream(seed, "jet composition"), jets, event)
        jets = with_taggers(stream(seed, "jet taggers"), jets, event).sorted_by("pt")
        muons = with_isolation(stream(seed, "muon isolation"), muons, jets, truth, event)
        muons = with_identification(stream(seed, "muon identification"), muons).sorted_by("pt")
        scalars |= simulate_met(stream(seed, "met"), truth, event, jets, muons)
        normals = stream(seed, "other vertices").normal(size=(folds.n, MOST_OTHER_VERTICES))
        other = other_vertices(scalars, normals, self.era.name)
        photons = simulate_fsr_photons(stream(seed, "fsr photons"), truth, event.rho, muons)
        made = {"Jet": jets, "Muon": muons, "OtherPV": other, "FsrPhoton": photons}
        egamma = simulate_electrons_and_photons(seed, truth, event, jets, scalars["PV_z"])
        boosted = simulate_fat_jets(folds, seed)
        reco = complete(folds.with_collections(made | egamma | boosted))
        reco = self._as_nanoaod(reco, ("Jet", "Muon", "FsrPhoton", *egamma, *boosted)).with_scalars(scalars)
        reco = self._retuned(self._with_taus_and_vertices(reco, event, seed), seed)
        return self._with_constituents(reco, seed) if self.constituents else reco

    def _with_constituents(self, reco: Events, seed: int) -> Events:
        """What jets are made of, once these are as they stay: it sums up to them."""
        made = simulate_constituents(stream(seed, "jet constituents"), reco)
        reco = candidates.link(reco.with_collections({"PFCands": made}))
        return self._as_nanoaod(reco, ("PFCands", "JetPFCands"))

    def _retuned(self, reco: Events, seed: int) -> Events:
        """All that the tables know moved to them, and the links found again."""
        if self.era is not DEFAULT_ERA:
            return self._of_other_years(reco, seed)
        if self.table:
            reco = link(retuned(reco, self.table, seed))
        made = {name: _columns(name, reco[name], self.schema) for name in _MADE if name in reco}
        return reco.with_collections(made)

    def _of_other_years(self, reco: Events, seed: int) -> Events:
        """What is known of 2018 moved on to the years of the era, with the attributes of their version."""
        for table in self._before:
            # whole numbers are to be known as such
            reco = conform(link(retuned(reco, table, seed)), Schema.default())
        reco = with_attributes_of_run3(reco, seed)
        reco = link(retuned(reco, self.table, seed, self.era.nano))
        made = {name: _declared(name, reco[name], self.schema, self.era) for name in _MADE if name in reco}
        return reco.with_collections(made)

    def _with_taus_and_vertices(self, reco: Events, event: EventLatents, seed: int) -> Events:
        """Tau and SV, which need only what NanoAOD shows of the jets; not without GenVisTau."""
        if "GenVisTau" not in reco:
            return reco
        taus = simulate_taus(reco, event, seed, self.era.fake_taus)
        vertices = find_vertices(stream(seed, "vertices"), reco)
        return self._as_nanoaod(reco.with_collections({"Tau": taus, "SV": vertices}), ("Tau", "SV"))

    def _as_nanoaod(self, events: Events, collections: tuple[str, ...]) -> Events:
        """`events` with only the NanoAOD columns of `collections`, in their types."""
        known = Schema.default()
        return events.with_collections({name: _columns(name, events[name], known) for name in collections})


def _declared(name: str, objects: Collection, schema: Schema, era: DetectorEra) -> Collection:
    """What of `objects` the era's version of NanoAOD has, in the types that models know."""
    way = writing(era.nano, era.nano)
    kept = {key: full_name(name, key) for key in objects.columns}
    kept = {key: full for key, full in kept.items() if full in schema.branches and not way.why_not(full)}
    columns = {key: objects[key].astype(schema.branches[full].dtype) for key, full in kept.items()}
    return Collection(objects.counts, columns)


def _columns(name: str, objects: Collection, schema: Schema) -> Collection:
    wanted = schema.attributes(name)
    return Collection(
        objects.counts,
        {branch.attribute: objects[branch.attribute].astype(branch.dtype) for branch in wanted},
    )
