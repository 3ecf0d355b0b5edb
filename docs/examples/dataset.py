"""Make a dataset of Drell-Yan events and look at its files with uproot and with coffea.

python dataset.py [EVENTS]
"""

import sys

import awkward as ak
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from flashsim_prod.api import request, status

NanoAODSchema.warn_missing_crossrefs = False

made = request("dyjets", sys.argv[1] if len(sys.argv) > 1 else 10_000, oversample=10, seed=1)
print(f"{made.name}: {made.events} events of {made.gen_events} generator events")
print(f"request {made.request}: {status(made.request).state}")

for file in made.files:
    tree = uproot.open(file)["Events"]
    print(f"{file}: {tree.num_entries} events, {len(tree.keys())} branches")

    nano = NanoEventsFactory.from_root({file: "Events"}, schemaclass=NanoAODSchema).events()
    pairs = nano.Muon[(ak.num(nano.Muon) == 2) & (ak.sum(nano.Muon.charge, axis=1) == 0)]
    masses = (pairs[:, 0] + pairs[:, 1]).mass
    near = ak.sum(abs(masses - 91.2) < 10)
    print(f"{len(masses)} pairs of muons, {near} of them within 10 GeV of the Z boson's mass")
