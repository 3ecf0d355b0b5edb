"""Block dumps: whole, in agreement with themselves, named by CMS's rules, and sent once."""

from __future__ import annotations

import copy
import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import Registration
from flashsim_prod.core.splitting import lumi_events, simulate_job
from flashsim_prod.errors import CatalogError, RequestError, StateError, StorageError
from flashsim_prod.grid.catalog.dbs import DbsFile, Dump, LumiCount, Provenance, block_dump, check_dump
from flashsim_prod.production.dataset.publish import publish
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request

PlaceRequest = Callable[..., str]


@pytest.fixture
def made(home: Home, place_request: PlaceRequest) -> str:
    """A finished request of 4 files in 2 blocks."""
    name = place_request(catalog="none")
    drive(home, name)
    return name


@pytest.fixture
def dumps(home: Home, made: str) -> list[Dump]:
    return [json.loads(path.read_bytes()) for path in publish(home, made, None).dumps]


def test_dumps_hold_all_of_the_dataset(home: Home, made: str, dumps: list[Dump]) -> None:
    request = load_request(home.folder(made).request)
    assert [dump["block"]["file_count"] for dump in dumps] == [2, 2]
    files = [file for dump in dumps for file in dump["files"]]
    assert sum(file["event_count"] for file in files) == request.events
    lumis = [lumi for file in files for lumi in file["file_lumi_list"]]
    assert sum(lumi["event_count"] for lumi in lumis) == request.events
    assert len({(lumi["run_num"], lumi["lumi_section_num"]) for lumi in lumis}) == len(lumis)
    for file in files:
        contents = (home.path / file["logical_file_name"][1:]).read_bytes()
        assert (file["file_size"], file["check_sum"]) == (len(contents), str(_posix_cksum(contents)))
    assert {dump["block"]["origin_site_name"] for dump in dumps} == {"T2_IT_Pisa"}


def _posix_cksum(contents: bytes) -> int:
    """POSIX's checksum by its definition: a CRC over the bytes, then over their number."""
    size, crc = len(contents), 0
    tail = bytearray()
    while size:
        tail.append(size & 0xFF)
        size >>= 8
    for byte in contents + bytes(tail):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
        crc &= 0xFFFFFFFF
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("scope", ["cms", "user.jdoe", "group.higgs-hh"])
def test_names_are_judged_by_cms(
    home: Home, place_request: PlaceRequest, scope: str, wmcore: Callable[[str], Any]
) -> None:
    lexicon = wmcore("WMCore.Lexicon")
    name = place_request(
        catalog="none", registration=Registration(scope=scope, rse="T2_IT_Pisa_Temp"), primary="TTbar_13TeV"
    )
    drive(home, name)
    (dump, *_) = (json.loads(path.read_bytes()) for path in publish(home, name, None).dumps)
    dataset, block = dump["dataset"], dump["block"]
    lexicon.dataset(dataset["dataset"])
    lexicon.block(block["block_name"])
    lexicon.primdataset(dump["primds"]["primary_ds_name"])
    lexicon.primaryDatasetType(dump["primds"]["primary_ds_type"])
    lexicon.acqname(dump["acquisition_era"]["acquisition_era_name"])
    assert dump["acquisition_era"]["acquisition_era_name"] not in ("jdoe", "higgs_hh"), "no user's name"
    judge = lexicon.procdataset if scope == "cms" else lexicon.userprocdataset
    judge(dataset["processed_ds_name"])
    lexicon.globalTag(dump["dataset_conf_list"][0]["global_tag"])
    lexicon.cmsswversion(dump["dataset_conf_list"][0]["release_version"])
    assert lexicon.cmsname(block["origin_site_name"])
    for file in dump["files"]:
        lexicon.lfn(file["logical_file_name"])
    assert dataset["dataset"].endswith("/USER") is (scope != "cms")
    assert str(DatasetName.parse(dataset["dataset"])) == dataset["dataset"]


def test_lumis_hold_the_events_of_their_jobs(home: Home, made: str) -> None:
    request = load_request(home.folder(made).request)
    for index in range(request.n_simulate):
        job = simulate_job(request, index)
        lumis = range(job.first_lumi, job.first_lumi + job.n_lumis)
        assert sum(lumi_events(request, lumi) for lumi in lumis) == job.events
    with pytest.raises(RequestError):
        lumi_events(request, request.n_simulate * 100)


def _sample() -> Dump:
    """A dump of two files with two luminosity sections each."""
    dataset = DatasetName(primary="TTbar", era="FlashSim2018", string="x", version=1)
    files = [
        DbsFile(
            lfn=dataset.lfn(index, uuid.UUID(int=index)),
            bytes=1000,
            events=20,
            adler32="0000abcd",
            md5="0" * 32,
            cksum="12345",
            lumis=(LumiCount(1, 2 * index + 1, 10), LumiCount(1, 2 * index + 2, 10)),
        )
        for index in range(2)
    ]
    made_by = Provenance("CMSSW_10_6_26", "0" * 32, "FlashSim_x", "jdoe", 1_700_000_000)
    return block_dump(dataset, dataset.block(uuid.UUID(int=9)), files, "T2_IT_Pisa", made_by)


def _change(dump: Dump, path: str, value: Any) -> Dump:
    changed = copy.deepcopy(dump)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = changed
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("block.block_size", 1),
        ("block.file_count", 3),
        ("block.block_name", "/Other/Era-x-v1/NANOAODSIM#1"),
        ("block.origin_site_name", "LOCAL"),
        ("block.origin_site_name", None),
        ("files.0.event_count", 7),
        ("files.0.event_count", "20"),
        ("files.0.adler32", "xyz"),
        ("files.0.adler32", None),
        ("files.0.check_sum", 123),
        ("files.0.md5", "asda"),
        ("files.0.file_size", True),
        ("files.0.file_lumi_list", []),
        ("files.0.file_lumi_list.0.run_num", 0),
        ("files.0.file_lumi_list.0.lumi_section_num", 0),
        ("files.0.file_lumi_list.0.event_count", None),
        ("files.0.file_lumi_list.0.lumi_section_num", 2),
        ("files.0.logical_file_name", "/tmp/x.root"),
        ("dataset_conf_list.0.global_tag", ""),
        ("file_conf_list.0.pset_hash", "f" * 32),
    ],
)
def test_a_wrong_dump_is_refused_before_it_is_sent(path: str, value: Any) -> None:
    dump = _sample()
    check_dump(dump)
    with pytest.raises(CatalogError):
        check_dump(_change(dump, path, value))


def test_an_unfinished_or_damaged_dataset_is_not_published(
    home: Home, place_request: PlaceRequest, made: str
) -> None:
    with pytest.raises(StateError, match=r"0 of \d files are made"):
        publish(home, place_request(catalog="none"), None)
    path = next((home.path / "store").rglob("*.root"))
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(StorageError, match="not published"):
        publish(home, made, None)


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[str], None]) -> Iterator[Any]:
    """A DBS writer on loopback, and the credentials that its client insists on."""
    if find_spec("dbs") is None or find_spec("pycurl") is None:
        lacking("dbs3-client (pip install 'flashsim-prod[dbs]')")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    from dbs_writer import DbsWriterPeer

    for name in ("X509_USER_CERT", "X509_USER_KEY"):
        (tmp_path / name).touch()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("FLASHSIM_PROD_PATIENCE_S", "10")
    with DbsWriterPeer() as peer:
        threading.Thread(target=peer.serve_forever, args=(0.02,), daemon=True).start()
        yield peer
        peer.shutdown()
    sys.modules.pop("dbs_writer", None)


def test_blocks_are_published_once(home: Home, made: str, writer: Any) -> None:
    first = publish(home, made, writer.url)
    assert (first.new, len(writer.blocks)) == (2, 2)
    before = copy.deepcopy(writer.blocks)
    again = publish(home, made, writer.url)
    assert (again.new, again.dumps) == (0, first.dumps)
    assert writer.blocks == before


def test_a_busy_server_and_a_lost_answer(home: Home, made: str, writer: Any) -> None:
    writer.troubles += [503, 429]
    writer.lose_answers = 1
    publish(home, made, writer.url)
    assert len(writer.blocks) == 2


#: as the real server puts it
COLLISION = (
    "DBSError Code:110 Description:DBS DB insert record error Function:dbs.bulkblocks.insertBulkBlocks "
    f"Message: unable to insert record {'x' * 300}, Error: ORA-00001: unique constraint "
    "(CMS_DBS3_PROD_GLOBAL_OWNER.TUC_AE_ACQUISITION_ERA_NAME) violated while it was inserted"
)


def test_two_writers_at_once(home: Home, made: str, writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbs_writer import Refusal

    original, collisions = writer.insert, [1, 2]

    def collide(dump: Any) -> None:
        if collisions:
            collisions.pop()
            raise Refusal(110, COLLISION)
        original(dump)

    monkeypatch.setattr(writer, "insert", collide)
    assert publish(home, made, writer.url).new == 2
    assert not collisions
    writer.blocks.clear()
    collisions += [1] * 50
    monkeypatch.setenv("FLASHSIM_PROD_PATIENCE_S", "1")
    with pytest.raises(StorageError, match=r"another writer is faster .*publish again later") as caught:
        publish(home, made, writer.url)
    assert "constraint (CMS_DBS3_PROD_GLOBAL_OWNER.TUC_AE_ACQUISITION_ERA_NAME) ..." in str(caught.value)


def test_a_server_that_stays_busy(
    home: Home, made: str, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSIM_PROD_PATIENCE_S", "1")
    writer.troubles += [503] * 50
    with pytest.raises(StorageError, match=r"does not answer .*publish again later"):
        publish(home, made, writer.url)
    with pytest.raises(StorageError, match="does not answer"):
        publish(home, made, "http://127.0.0.1:9/dbs/test/DBSWriter")


def test_other_contents_under_the_same_name(home: Home, made: str, writer: Any) -> None:
    publish(home, made, writer.url)
    (block, *_) = writer.blocks.values()
    block["files"][0]["adler32"] = "0badcafe"
    with pytest.raises(CatalogError, match=f"other contents: {block['files'][0]['logical_file_name']}"):
        publish(home, made, writer.url)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("files.0.file_size", 0, 310),
        ("files.0.adler32", None, 310),
        ("files.0.logical_file_name", "/tmp/x.root", 310),
        ("files.0.event_count", "20", 122),
        ("files.0.file_lumi_list.0.run_num", 0, 311),
        ("dataset_conf_list.0.global_tag", "", 317),
        ("block.origin_site_name", "", 400),
    ],
)
def test_the_peer_refuses_what_the_server_refuses(writer: Any, path: str, value: Any, code: int) -> None:
    from dbs_writer import Refusal

    dump = _sample()
    with pytest.raises(Refusal) as refused:
        writer.insert(_change(dump, path, value))
    assert refused.value.code == code
    writer.insert(dump)
    with pytest.raises(Refusal) as refused:
        writer.insert(dump)
    assert refused.value.code == 200


def test_what_dbs_refuses_is_told(
    home: Home, made: str, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbs_writer import Refusal

    def refuse(dump: Any) -> None:
        raise Refusal(310, "bad LFN in some way")

    monkeypatch.setattr(writer, "insert", refuse)
    with pytest.raises(CatalogError, match=r"DBS refuses block .*bad LFN in some way"):
        publish(home, made, writer.url)
