"""Simulate top pairs in memory and fill histograms whose uncertainties know which events are folds of one.

python in_memory.py [EVENTS]
"""

import sys
import uuid

import hist
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from coffea.nanoevents.mapping import SimplePreloadedColumnSource

from flashsim_prod.api import simulate
from flashsim_prod.physics.oversampling import OversampledHist

NanoAODSchema.warn_missing_crossrefs = False

# each of 1000 generator events ten times
events = simulate("ttbar", sys.argv[1] if len(sys.argv) > 1 else 10_000, oversample=10, seed=1)

columns = {name: events[name] for name in events.fields}
source = SimplePreloadedColumnSource(columns, uuid.uuid4(), len(events), "/Events")
nano = NanoEventsFactory.from_preloaded(source, schemaclass=NanoAODSchema).events()

jets = nano.Jet[(nano.Jet.pt > 30) & (abs(nano.Jet.eta) < 2.4)]
spectrum = OversampledHist(hist.axis.Regular(9, 30, 300, name="pt", label="jet pT [GeV]"))
# divided by the folds, so that bins count jets of generator events
spectrum.fill_events(nano, jets.pt, weight=nano.genWeight, oversample=nano.FlashSim.oversample)

# a hist.Hist as any other, its variances being those of folds that are not independent
drawn = spectrum.hist()
print("jet pT [GeV]    jets   error")
for edges, value, error in zip(drawn.axes[0], drawn.values(), drawn.variances() ** 0.5, strict=True):
    print(f"{edges[0]:4.0f} to {edges[1]:3.0f}  {value:8.1f}  {error:6.1f}")

# along the cross-references; a jet without a generator jet is left out
response = OversampledHist(hist.axis.Regular(40, 0, 2, name="response"))
response.fill_events(nano, jets.pt / jets.matched_gen.pt)
shape = response.hist()
mean = shape.axes[0].centers @ shape.values() / shape.sum().value
print(f"jet pT over its generator jet's: {mean:.3f} on average")
