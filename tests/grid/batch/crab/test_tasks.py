"""A request becomes CRAB tasks within CRAB's limits, numbered as CRAB's own splitter numbers them."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import Registration, Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import gen_events_per_lumi, merge_job, simulate_job
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.grid.batch.crab.section import whole_lumis
from flashsim_prod.grid.batch.crab.tasks import OUTPUT, REPORT, crab_lfn, crab_tasks, lfn_base, recovery_task
from flashsim_prod.production.order.library import all_cards
from flashsim_prod.production.order.plan import Order, dataset_name

Make = Callable[..., Request]
Load = Callable[[str], ModuleType]

shapes = st.fixed_dictionaries(
    {
        "gen_events": st.integers(1, 3000),
        "oversample": st.integers(1, 2000),
        "per_job": st.integers(1, 300),
        "per_task": st.integers(1, 40),
    }
)


def _masks(wmcore: Load, units: int, per_job: int, per_lumi: int) -> list[dict[str, int]]:
    """What CRAB's server does with a PrivateMC task: one fake file, split by events."""
    file = wmcore("WMCore.DataStructs.File").File("MCFakeFile", size=1000, events=units)
    file.setLocation("T2_IT_Pisa")
    file.addRun(wmcore("WMCore.DataStructs.Run").Run(1, *range(1, 11)))
    file["first_event"], file["last_event"] = 1, units
    fileset = wmcore("WMCore.DataStructs.Fileset").Fileset(name="MCFakeFileSet")
    fileset.addFile(file)
    workflow = wmcore("WMCore.DataStructs.Workflow").Workflow(name="task")
    subscription = wmcore("WMCore.DataStructs.Subscription").Subscription(
        fileset=fileset, workflow=workflow, split_algo="EventBased", type="Production"
    )
    factory = wmcore("WMCore.JobSplitting.SplitterFactory").SplitterFactory()(subscription=subscription)
    groups = factory(algorithm="EventBased", events_per_job=per_job, events_per_lumi=per_lumi)
    return [job["mask"] for group in groups for job in group.jobs]


@settings(max_examples=60)
@given(shape=shapes)
def test_crab_numbers_events_and_lumis_as_the_request_does(
    crab_request: Make, wmcore: Load, shape: dict[str, int]
) -> None:
    per_lumi = gen_events_per_lumi(shape["oversample"])
    shape = {**shape, "per_lumi": per_lumi, "per_job": whole_lumis(shape["per_job"], per_lumi)}
    request = crab_request(**shape)
    last_event = last_lumi = 0
    index = 0
    for task in crab_tasks(request):
        # the client divides the events of a job among the sections of its file
        per_section = -(-task.units_per_job // task.lumis_per_file)
        masks = _masks(wmcore, task.units, task.units_per_job, per_section)
        assert len(masks) == task.jobs
        for number, mask in enumerate(masks, start=1):
            job = simulate_job(request, index)
            assert (task.index(number), task.job(index)) == (index, number)
            assert mask["FirstEvent"] + last_event == job.first_event
            assert mask["LastEvent"] - mask["FirstEvent"] + 1 == job.events
            assert mask["FirstLumi"] + last_lumi == job.first_lumi
            assert mask["LastLumi"] - mask["FirstLumi"] + 1 == job.n_lumis
            index += 1
        last_event, last_lumi = job.first_event + job.events - 1, job.first_lumi + job.n_lumis - 1
    assert index == request.n_simulate


@settings(max_examples=30)
@given(shape=shapes, data=st.data())
def test_a_task_for_what_is_missing_has_the_jobs_of_the_request(
    crab_request: Make, wmcore: Load, shape: dict[str, int], data: st.DataObject
) -> None:
    per_lumi = gen_events_per_lumi(shape["oversample"])
    shape = {**shape, "per_lumi": per_lumi, "per_job": whole_lumis(shape["per_job"], per_lumi)}
    request = crab_request(**shape)
    missing = data.draw(st.sets(st.integers(0, request.n_simulate - 1), min_size=1, max_size=20))
    task = recovery_task(request, 7, list(missing))
    assert [task.index(n) for n in range(1, task.jobs + 1)] == sorted(missing)
    assert all(task.index(task.job(index)) == index for index in missing)
    masks = _masks(wmcore, task.units, task.units_per_job, -(-task.units_per_job // task.lumis_per_file))
    assert len(masks) == task.jobs
    for number, mask in enumerate(masks, start=1):
        job = simulate_job(request, task.index(number))
        assert mask["LastEvent"] - mask["FirstEvent"] + 1 == job.events
        assert mask["LastLumi"] - mask["FirstLumi"] + 1 == job.n_lumis


@given(
    shape=st.fixed_dictionaries(
        {
            "gen_events": st.integers(1, 10**9),
            "oversample": st.integers(1, 10_000),
            "per_job": st.integers(1000, 10**6),
            "per_lumi": st.integers(1000, 10_000),
        }
    )
)
def test_tasks_cover_a_large_request_and_keep_within_the_limits(
    crab_request: Make, shape: dict[str, int]
) -> None:
    request = crab_request(**shape)
    tasks = crab_tasks(request)
    assert sum(task.units for task in tasks) == request.events
    assert [task.first for task in tasks] == [n * 10_000 for n in range(len(tasks))]
    assert sum(task.jobs for task in tasks) == request.n_simulate
    assert all(task.jobs <= 10_000 and task.lumis_per_file <= 1000 for task in tasks)


@given(per_job=st.integers(1, 10**7), per_lumi=st.integers(1, 1000))
def test_jobs_are_cut_to_whole_lumis(per_job: int, per_lumi: int) -> None:
    cut = whole_lumis(per_job, per_lumi)
    assert 1 <= cut <= per_job
    assert cut <= 1000 * per_lumi
    assert cut == per_job or cut % per_lumi == 0
    assert cut > per_job - per_lumi or cut == 1000 * per_lumi


def test_a_job_with_too_many_lumis_is_refused_in_one_line(crab_request: Make) -> None:
    request = crab_request(gen_events=5000, per_job=1001, per_lumi=1)
    with pytest.raises(
        RequestError, match="has 1001 luminosity sections, CRAB allows 1000; lower --events-per"
    ):
        crab_tasks(request)


def test_task_names_are_unique_and_crab_takes_them(crab_request: Make) -> None:
    long = "a.b-c_" * 13
    names = [
        task.name
        for request in (crab_request(name=long, per_task=1), crab_request(name=long, per_task=1, seed=1))
        for task in crab_tasks(request)
    ]
    assert len(set(names)) == len(names) == 8
    # the pattern of CRAB's server for a request's name
    assert all(re.fullmatch(r"[a-zA-Z0-9\-_]{1,100}", name) for name in names)


@pytest.mark.parametrize("scope", ["user.jdoe", "group.b2g"])
def test_the_lexicon_takes_all_names_of_outputs(crab_request: Make, wmcore: Load, scope: str) -> None:
    lexicon = wmcore("WMCore.Lexicon")
    request = crab_request(scope=scope, gen_events=100_000, per_job=1, per_lumi=1)
    task = crab_tasks(request)[-1]
    for job in (1, 999, 1000, 10_000):
        assert lexicon.lfn(crab_lfn(request, task, "261121_224725:jdoe_crab_x", job, OUTPUT))
        assert lexicon.userLfn(crab_lfn(request, task, "261121_224725:jdoe_crab_x", job, REPORT))
    # the limit of CRAB's server for the tag
    assert lexicon.publishdatasetname(task.name)


@pytest.mark.parametrize("users", [False, True])
def test_the_lexicon_takes_all_names_of_the_dataset(crab_request: Make, wmcore: Load, users: bool) -> None:
    lexicon = wmcore("WMCore.Lexicon")
    tier = "USER" if users else "NANOAODSIM"
    name = DatasetName(primary="TTbar_13TeV-x", era="FlashSim2018", string="RefDet_x10", version=3, tier=tier)
    request = crab_request(dataset=name, gen_events=3000, per_job=1, per_lumi=1)
    check = lexicon.userprocdataset if users else lexicon.procdataset
    assert lexicon.dataset(str(name))
    assert check(str(name).split("/")[2])
    for index in (0, request.n_merge - 1):
        merge = merge_job(request, index)
        assert lexicon.lfn(merge.lfn)
        assert lexicon.block(merge.block)


def test_an_output_is_where_crab_puts_it(crab_request: Make) -> None:
    request = crab_request()
    (task,) = crab_tasks(request)
    assert crab_lfn(request, task, "261121_224725:jdoe_crab_toy", 1234, OUTPUT) == (
        f"/store/user/jdoe/flashsim/Toy_13TeV/{task.name}/261121_224725/0001/output_1234.root"
    )


def test_without_an_owner_the_folder_is_asked_for(crab_request: Make) -> None:
    with pytest.raises(RequestError, match=r"say --scope user\.NAME with your CERN name"):
        lfn_base(crab_request(scope="cms"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"resources": {"cpus": 3}}, "resources.cpus: CRAB takes 1, 2, 4, 8, not 3"),
        ({"resources": {"memory_mb": 3001}}, "at most 3000 MB to 1 cores"),
        ({"resources": {"cpus": 4, "memory_mb": 10_001}}, "at most 10000 MB to 4 cores"),
        ({"resources": {"walltime_min": 2751}}, "at most 2750 min"),
        ({"engine": "local"}, "engine crab and the section 'crab' go together"),
        ({"crab": {"storage_site": "Pisa"}}, "crab.storage_site"),
        ({"crab": {"software": {"python": "python3"}}}, "crab.software.python"),
        ({"crab": {"accelerator": {"runtime": 12.4}}}, "crab.accelerator.runtime: 12.4 is no text"),
    ],
)
def test_a_site_file_beyond_crabs_limits_is_refused(
    crab_request: Make, change: dict[str, Any], line: str
) -> None:
    mapping = crab_request().site.model_dump(mode="json")
    for key, value in change.items():
        mapping[key] = {**mapping[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ConfigError, match=re.escape(line)):
        Site.from_mapping(mapping, "my.yaml")


@pytest.mark.parametrize("scope", ["cms", "user.jdoe", "group.b2g"])
def test_the_lexicon_takes_the_names_of_all_shipped_cards(
    crab_request: Make, wmcore: Load, scope: str
) -> None:
    lexicon = wmcore("WMCore.Lexicon")
    given = crab_request()
    for card in all_cards():
        order = Order(
            card=card,
            site=given.site,
            oversample=10,
            seed=1,
            bundle=given.bundle,
            bundle_tag="RefDet",
            registration=Registration(scope=scope),
        )
        for energy in card.energies:
            name = dataset_name(order.model_copy(update={"energy_tev": energy.tev}), 1)
            merge = merge_job(crab_request(name=f"{card.name}-001", dataset=name), 0)
            assert lexicon.dataset(str(name))
            assert lexicon.block(merge.block)
            assert lexicon.lfn(merge.lfn)
            assert lexicon.primdataset(name.primary)
