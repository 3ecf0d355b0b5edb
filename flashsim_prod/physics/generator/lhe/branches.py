"""The branches that output files have because their events come from LHE files, with types and titles."""

from __future__ import annotations

from flashsim_prod.core.sources.base import CarriedBranch
from flashsim_prod.physics.generator.lhe.survey import Survey

_EVENT = {
    "LHEWeight_originalXWGTUP": ("float32", "weight of the event in the LHE file"),
    "LHE_AlphaS": ("float32", "alpha_s of the hard process, per event"),
    "LHE_HT": ("float32", "scalar sum of the transverse momenta of outgoing partons [GeV]"),
    "LHE_HTIncoming": ("float32", "the same, of those partons alone that come from the incoming ones [GeV]"),
    "LHE_Nb": ("uint8", "number of outgoing b quarks"),
    "LHE_Nc": ("uint8", "number of outgoing c quarks"),
    "LHE_Nglu": ("uint8", "number of outgoing gluons"),
    "LHE_Njets": ("uint8", "number of outgoing partons: quarks and gluons"),
    "LHE_NpLO": ("uint8", "number of partons at leading order, 255 if not told"),
    "LHE_NpNLO": ("uint8", "number of partons at next-to-leading order, 255 if not told"),
    "LHE_Nuds": ("uint8", "number of outgoing u, d and s quarks"),
    "LHE_Vpt": ("float32", "transverse momentum of the W or Z boson, from its leptons [GeV]"),
}
_PART = {
    "eta": ("float32", "pseudorapidity, 0 for incoming particles"),
    "incomingpz": ("float32", "momentum along the beam of incoming particles, 0 for outgoing ones [GeV]"),
    "mass": ("float32", "mass, 0 for incoming particles [GeV]"),
    "pdgId": ("int32", "PDG id"),
    "phi": ("float32", "azimuth, 0 for incoming particles"),
    "pt": ("float32", "transverse momentum, 0 for incoming particles [GeV]"),
    "spin": ("int32", "spin along the momentum, as in the file; 9 if unknown"),
    "status": ("int32", "-1 for incoming particles, 1 for outgoing ones"),
}


def branches_of_hard_process(of: Survey) -> tuple[CarriedBranch, ...]:
    """All of them, by name: the hard process, and the weights that the files have."""
    found = [
        *(CarriedBranch(name=name, type=dtype, title=title) for name, (dtype, title) in _EVENT.items()),
        *(
            CarriedBranch(name=f"LHEPart_{name}", type=dtype, title=title, collection="LHEPart")
            for name, (dtype, title) in _PART.items()
        ),
        *(
            CarriedBranch(name=name, type="float32", title=title, collection=name)
            for name, title in of.titles.items()
        ),
    ]
    return tuple(sorted(found, key=lambda one: one.name))
