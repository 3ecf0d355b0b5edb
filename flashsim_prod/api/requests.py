"""Events in memory that are of no dataset, datasets that are made, and how requests stand."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Literal, overload

from flashsim_prod.errors import RequestError, StateError

if TYPE_CHECKING:
    import awkward as ak

    from flashsim_prod.production.context import Outcome
    from flashsim_prod.production.order.order import Typed
    from flashsim_prod.production.order.plan import Plan
    from flashsim_prod.production.views.status import RequestLine

#: what events are called that were read from files and make no dataset
_PRIMARY_OF_FILES = "Events"


@dataclass(frozen=True)
class Dataset:
    """A dataset that was made.

    Attributes
    ----------
    request : str
        Name of the request.
    name : str
        Name of the dataset, ``/Primary/Era-ProcString-vN/TIER``.
    files : tuple of str
        Where its files are.
    events : int
        Output events, every fold counted.
    gen_events, oversample : int
        Distinct generator events, and folds of each.
    seed, events_per_job : int
        With these, `simulate` and `request` make the same events again, here or elsewhere.
    """

    request: str
    name: str
    files: tuple[str, ...]
    events: int
    gen_events: int
    oversample: int
    seed: int
    events_per_job: int


@dataclass(frozen=True)
class RequestStatus:
    """How a request stands.

    Attributes
    ----------
    request : str
        Name of the request.
    name : str
        Name of its dataset.
    state : str
        ``PLANNED``, ``RUNNING``, ``INTERRUPTED``, ``CANCELLED``, ``FAILED`` or ``DONE``.
    percent : float
        Jobs that are done, of all [%].
    events : int
        Output events that it comes to.
    files : tuple of str
        Where the files are that it has made so far.
    """

    request: str
    name: str
    state: str
    percent: float
    events: int
    files: tuple[str, ...]


def simulate(
    card_or_files: str | PathLike[str] | Sequence[str | PathLike[str]],
    events: int | str | None = None,
    oversample: int = 1,
    bundle: str | None = None,
    *,
    energy: float | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    events_per_job: int | str | None = None,
    nano: str | None = None,
    keep_unrefined: bool = False,
) -> ak.Array:
    """Simulated events, in memory and nowhere else.

    They are those that `request` makes of the same arguments, branch by branch. Jobs have seeds of their own,
    so the events depend on `seed` and on `events_per_job`; give both, and they are the same on any machine.

    Parameters
    ----------
    card_or_files : str, path, or sequence of them
        Name or YAML file of a card (``ttbar``); or NanoAOD or NanoGEN in the generator's place: files that
        end in ``.root``, patterns of them, URLs, or ``rucio:SCOPE:NAME``, one or several; or LHE files,
        that end in ``.lhe`` or ``.lhe.gz``.
    events : int or str, optional
        Output events, as ``1000`` or ``"10k"``. Of files all by default, each `oversample` times.
    oversample : int
        Output events for each generator event. A generator event's are not independent; for histograms
        use `flashsim_prod.physics.oversampling.OversampledHist`.
    bundle : str, optional
        Models: name of a bundle, or its folder; by default the shipped one of the energy.
    energy : float, optional
        Centre-of-mass energy [TeV]; the card's first by default. Of files it decides the pileup, where they
        lack it.
    seed : int, optional
        Decides all numbers drawn; random by default.
    device : str
        Where the networks run; ``auto`` is what the site says: here a GPU if torch finds one.
    events_per_job : int or str, optional
        Output events that share a job's seed; by default as many as a request made here and now would have.
    nano : str, optional
        Version of NanoAOD that they are of, ``v9`` or ``v15``; by default it goes with energy and bundle.
    keep_unrefined : bool
        Whether there is beside what the bundle refines what it was before, as ``Jet_ptunrefined``.

    Returns
    -------
    ak.Array
        Of records: a field for each branch of NanoAOD (``Jet_pt``, ``nJet``, ``MET_pt``), as
        ``uproot.open(file)["Events"].arrays()`` gives them. Its ``attrs`` say how it was made, with `seed`
        and `events_per_job`. About 10 kB an event.

    Raises
    ------
    FlashSimError
        `RequestError` for arguments that make no sense, `InputError` for files that cannot be used,
        `BundleError` for a bundle that is missing or altered, `NodeError` where there is no GPU.

    Examples
    --------
    >>> events = simulate("ttbar", 1000, oversample=10, seed=1)
    >>> events.Jet_pt[events.nJet > 3]

    Collections with their cross-references, as NanoEvents of coffea:

    >>> import uuid
    >>> from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
    >>> from coffea.nanoevents.mapping import SimplePreloadedColumnSource
    >>> columns = {name: events[name] for name in events.fields}
    >>> source = SimplePreloadedColumnSource(columns, uuid.uuid4(), len(events), "/Events")
    >>> nano = NanoEventsFactory.from_preloaded(source, schemaclass=NanoAODSchema).events()
    >>> nano.Jet.matched_gen.pt, nano.Muon.matched_jet.pt, nano.FlashSim.genEvent
    """
    from flashsim_prod.production.drive.in_memory import simulate_in_memory
    from flashsim_prod.production.home import open_home
    from flashsim_prod.production.order.order import make_order
    from flashsim_prod.production.order.place import preview

    files = _files(card_or_files)
    card = None if files else fspath(card_or_files)  # type: ignore[arg-type]
    typed = _typed(
        *(card, events, oversample, bundle, energy, seed, device, files, events_per_job),
        nano=nano,
        keep_unrefined=keep_unrefined,
    )
    plan = preview(open_home(), make_order(typed)[0], None)
    _warn(plan)
    return simulate_in_memory(plan.request)


def request(
    card: str | PathLike[str],
    events: int | str | None = None,
    oversample: int = 1,
    bundle: str | None = None,
    *,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    energy: float | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    events_per_job: int | str | None = None,
    name: str | None = None,
    site: str | PathLike[str] = "local",
    catalog: Literal["local", "rucio", "none"] = "local",
    nano: str | None = None,
    keep_unrefined: bool = False,
) -> Dataset:
    """Make a dataset on this machine, as ``flashsim-prod request`` does, and wait for it.

    Whatever stops it, ``flashsim-prod retry NAME`` goes on to the very same dataset.

    Parameters
    ----------
    card : str or path
        Name or YAML file of a card.
    events, oversample, bundle, energy, seed, device, events_per_job, nano, keep_unrefined
        As of `simulate`.
    inputs : str, path, or sequence of them
        NanoAOD or NanoGEN in the generator's place.
    name : str, optional
        Of the request; the card's and the next free number by default.
    site : str or path
        Name or file of a site whose jobs run on this machine.
    catalog : str
        Where the dataset is registered.

    Returns
    -------
    Dataset

    Raises
    ------
    FlashSimError
        As by `simulate`; `JobsFailedError` if jobs failed for good; `StateError` if it was stopped before its
        end; `StorageError` or `CatalogError` if files cannot be stored or registered.

    Examples
    --------
    >>> made = request("ttbar", "10k", oversample=10)
    >>> events = uproot.concatenate([f"{file}:Events" for file in made.files], ["Jet_pt"])
    """
    from flashsim_prod.production.catalogs import one_sign_in
    from flashsim_prod.production.drive.foreground import drive
    from flashsim_prod.production.home import open_home
    from flashsim_prod.production.order.order import make_order
    from flashsim_prod.production.order.place import place, preview

    files = _several(inputs)
    typed = _typed(
        fspath(card),
        events,
        oversample,
        bundle,
        energy,
        seed,
        device,
        files,
        events_per_job,
        site,
        catalog,
        nano,
        keep_unrefined=keep_unrefined,
    )
    home = open_home()
    with one_sign_in():
        order, found = make_order(typed)
        if order.site.rules.goes_on_alone:
            raise RequestError(
                f"jobs at site {order.site.name} do not run on this machine; order such a dataset by "
                f"flashsim-prod request {order.card.name} --site {fspath(site)}"
            )
        plan = preview(home, order, name)
        _warn(plan)
        plan = place(home, order, plan, bundle_title=found.title, named=name is not None, dry_run=False)
    return _dataset(drive(home, plan.request.name))


@overload
def status(name: str) -> RequestStatus: ...


@overload
def status(name: None = None) -> tuple[RequestStatus, ...]: ...


def status(name: str | None = None) -> RequestStatus | tuple[RequestStatus, ...]:
    """How a request stands, or all of them.

    Parameters
    ----------
    name : str, optional
        Name of a request.

    Returns
    -------
    RequestStatus, or tuple of RequestStatus
        Of all requests the oldest first, if no name is given.

    Raises
    ------
    FlashSimError
        `RequestError` if there is no request of that name.
    """
    from flashsim_prod.production.dataset.files import made_files
    from flashsim_prod.production.home import home_to_read
    from flashsim_prod.production.views.status import all_lines, detail

    home = home_to_read()

    def told(line: RequestLine) -> RequestStatus:
        files = tuple(file.pfn for file in made_files(home, line.name))
        return RequestStatus(line.name, line.dataset, line.state.value, line.percent, line.events, files)

    if name is not None:
        return told(detail(home, name).line)
    return tuple(told(line) for line in all_lines(home))


def _typed(
    card: str | None,
    events: int | str | None,
    oversample: int,
    bundle: str | None,
    energy: float | None,
    seed: int | None,
    device: str,
    files: tuple[str, ...],
    events_per_job: int | str | None,
    site: str | PathLike[str] = "local",
    catalog: Literal["local", "rucio", "none"] = "local",
    nano: str | None = None,
    *,
    keep_unrefined: bool = False,
) -> Typed:
    """The arguments as a command line would have them, which is where all are looked at."""
    from flashsim_prod.core.choices import Device, RegisterIn
    from flashsim_prod.production.order.order import Typed

    for what, value, choices in (("device", device, Device), ("catalog", catalog, RegisterIn)):
        if value not in tuple(choices):
            raise RequestError(f"{what}: '{value}' is none of {', '.join(choices)}")
    try:
        # numbers of numpy are as good as others
        seed = None if seed is None else index(seed)
    except TypeError:
        raise RequestError(f"seed: {seed!r} is no whole number") from None
    told = {
        "card": card,
        "primary": _PRIMARY_OF_FILES if card is None else None,
        "events": None if events is None else str(events),
        "oversample": str(oversample),
        "site": fspath(site),
        "catalog": RegisterIn(catalog),
        "seed": seed,
        "inputs": files,
        "energy_tev": energy,
        "bundle": bundle,
        # the site's, where none is chosen
        "device": None if device == Device.AUTO else Device(device),
        "events_per_job": None if events_per_job is None else str(events_per_job),
        "nano": nano,
        "keep_unrefined": keep_unrefined,
    }
    return Typed.from_mapping(told, "arguments")


def _warn(plan: Plan) -> None:
    """What a plan says of the events, to whoever called; advice on speed is for plans of production."""
    for line in (*plan.warnings, *plan.notes):
        if line not in plan.advice:
            warnings.warn(line, stacklevel=3)


def _files(card_or_files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    """The files of events that are meant; none if it is a card."""
    named = _several(card_or_files)
    if not isinstance(card_or_files, str | PathLike):
        if not named:
            raise RequestError("no files were given; name at least one, or a card")
        return named
    from flashsim_prod.production.order.order import is_input

    return named if is_input(named[0]) else ()


def _several(one_or_more: str | PathLike[str] | Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    if isinstance(one_or_more, str | PathLike):
        return (fspath(one_or_more),)
    return tuple(fspath(one) for one in one_or_more)


def _dataset(outcome: Outcome) -> Dataset:
    """The dataset that a finished request made; an error of any other."""
    ask, name = outcome.request, outcome.request.name
    if outcome.failures:
        raise outcome.jobs_failed()
    if outcome.state != "DONE":
        raise StateError(
            f"request {name} was stopped ({outcome.state}); to go on: flashsim-prod retry {name}"
        )
    return Dataset(
        request=name,
        name=str(ask.dataset),
        files=tuple(file.pfn for file in outcome.files),
        events=sum(file.events for file in outcome.files) if ask.is_thinned else ask.events,
        gen_events=ask.gen_events,
        oversample=ask.oversample,
        seed=ask.seed,
        events_per_job=ask.split.gen_events_per_job * ask.oversample,
    )
