"""A tiny gridpack, made here: its script has Pythia8 make the events and write them by its own LHA writer."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

_SCRIPT = """#!/bin/bash
set -e
echo "making $1 events with seed $2 on $3 cores"
{before}
{python} make.py "$1" "$2"
"""
_MAKE = """
import sys
import pythia8mc
events, seed = int(sys.argv[1]), int(sys.argv[2])
pythia = pythia8mc.Pythia("", False)
for setting in ("Print:quiet = on", "WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 13",
                "PhaseSpace:mHatMin = 60", "Beams:eCM = {ecm}", "PartonLevel:all = off",
                "Random:setSeed = on", f"Random:seed = {{seed}}"):
    assert pythia.readString(setting), setting
assert pythia.init()
lhe = pythia8mc.LHAupFromPYTHIA8(pythia.process, pythia.infoPython())
lhe.openLHEF("cmsgrid_final.lhe")
lhe.setInit()
lhe.initLHEF()
for _ in range(events{fewer}):
    while not pythia.next():
        pass
    lhe.setEvent()
    lhe.eventLHEF()
lhe.updateSigma()
lhe.closeLHEF(False)
"""


def write_gridpack(
    folder: Path, name: str = "z.tar.xz", *, before: str = "", ecm: float = 13000.0, fewer: str = ""
) -> Path:
    """Write a tarball; `before` is what its script does first, `fewer` is taken off the number of events."""
    path = folder / name
    contents = {
        "runcmsgrid.sh": _SCRIPT.format(before=before, python=sys.executable),
        "make.py": _MAKE.format(ecm=ecm, fewer=fewer),
    }
    with tarfile.open(path, f"w:{name.rpartition('.')[2]}") as tarball:
        for member, text in contents.items():
            data = text.encode()
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(data), 0o755
            tarball.addfile(info, io.BytesIO(data))
    return path
