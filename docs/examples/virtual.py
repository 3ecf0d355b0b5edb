"""Fill a histogram of a dataset that is nowhere on a disk: its events are simulated where they are needed.

flashsim-prod request ttbar --events 10k --oversample 10 --virtual --name nowhere
python virtual.py nowhere [WORKERS]      WORKERS of an HTCondor pool; without, on this machine
"""

import sys
import time
import uuid

import dask
import hist
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from coffea.nanoevents.mapping import SimplePreloadedColumnSource
from dask.distributed import Client

from flashsim_prod.api import dask_events
from flashsim_prod.physics.oversampling import OversampledHist

# what is needed decides which models run
BRANCHES = [
    "nJet",
    "Jet_pt",
    "Jet_eta",
    "Jet_phi",
    "Jet_mass",
    "genWeight",
    "run",
    "luminosityBlock",
    "event",
    "FlashSim_*",
]


def analysed(events):
    """The jets' spectrum of a partition, by coffea as ever."""
    NanoAODSchema.warn_missing_crossrefs = False
    columns = {name: events[name] for name in events.fields}
    source = SimplePreloadedColumnSource(columns, uuid.uuid4(), len(events), "/Events")
    nano = NanoEventsFactory.from_preloaded(source, schemaclass=NanoAODSchema).events()
    jets = nano.Jet[(nano.Jet.pt > 30) & (abs(nano.Jet.eta) < 2.4)]
    spectrum = OversampledHist(hist.axis.Regular(9, 30, 300, name="pt", label="jet pT [GeV]"))
    spectrum.fill_events(nano, jets.pt, weight=nano.genWeight, oversample=nano.FlashSim.oversample)
    return spectrum, len(events)


def main(request, workers=0):
    """Analyse all partitions, one for each job of the request."""
    if workers:
        from dask_jobqueue import HTCondorCluster

        cluster = HTCondorCluster(cores=1, memory="2GB", disk="1GB")
        cluster.scale(jobs=workers)
        client = Client(cluster)
        client.wait_for_workers(workers)
    else:
        # processes: the threads of one would wait for each other
        client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
    start = time.monotonic()
    partitions = dask_events(request, branches=BRANCHES).to_delayed()
    found = dask.compute(*(dask.delayed(analysed)(one) for one in partitions))
    client.shutdown()
    seconds, events = time.monotonic() - start, sum(number for _, number in found)
    spectrum = sum((one for one, _ in found[1:]), found[0][0]).hist()
    print("jet pT [GeV]    jets   error")
    for edges, value, error in zip(
        spectrum.axes[0], spectrum.values(), spectrum.variances() ** 0.5, strict=True
    ):
        print(f"{edges[0]:4.0f} to {edges[1]:3.0f}  {value:8.1f}  {error:6.1f}")
    print(
        f"{events} events of {len(partitions)} jobs, none of them on a disk: {events / seconds:.1f} events/s"
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
