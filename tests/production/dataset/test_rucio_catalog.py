"""The catalogue that a real Rucio server keeps."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import CatalogError, RequestError
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.production.dataset.register import declare_blocks

RSE = "T2_IT_Pisa"
METADATA = {"seed": 2**60 + 1, "energy_tev": 13.6, "energy_j": 5.5, "bundle": "reference"}


def made_files(number: int, first: int = 0) -> list[CatalogFile]:
    """Files of 100 events and 2 lumis each, under names of their own."""
    return [
        CatalogFile(
            lfn=f"/store/mc/FlashSim2018/Toy/NANOAODSIM/x-v1/000000/{str(uuid.uuid4()).upper()}.root",
            pfn="",
            bytes=1000 + i,
            events=100,
            adler32=f"{i:08x}",
            sha256=f"{i:064x}",
            lumis=(LumiRange(run=1, first=2 * i + 1, last=2 * i + 2),),
            md5=f"{i:032x}",
        )
        for i in range(first, first + number)
    ]


def block_of(container: str) -> str:
    return f"{container}#{uuid.uuid4()}"


@pytest.fixture
def catalog(server: Any) -> Iterator[RucioCatalog]:
    with RucioCatalog("cms") as opened:
        yield opened


def declare(catalog: RucioCatalog, container: str, block: str, files: list[CatalogFile]) -> int:
    """Everything that a registration does."""
    catalog.ensure_container(container, METADATA)
    catalog.ensure_block(container, block)
    new = catalog.declare(block, files, RSE)
    catalog.close_block(block)
    catalog.add_rule(container, RSE)
    return new


def test_what_is_declared_is_found_again(catalog: RucioCatalog, container: str) -> None:
    block, files = block_of(container), made_files(3)
    assert declare(catalog, container, block, files) == 3
    found = catalog.container(container)
    assert (found.scope, found.blocks, found.open_blocks) == ("cms", 1, 0)
    assert (found.files, found.events, found.bytes) == (3, 300, 3003)
    assert found.metadata == METADATA
    entries = {entry.lfn: entry for entry in catalog.files(container)}
    assert list(entries) == sorted(file.lfn for file in files)
    for file in files:
        entry = entries[file.lfn]
        told = (file.bytes, file.events, file.adler32, file.sha256, file.lumis)
        assert (entry.bytes, entry.events, entry.adler32, entry.sha256, entry.lumis) == told
        assert [replica.rse for replica in entry.replicas] == [RSE]
        assert entry.replicas[0].pfn == (catalog.prefix(RSE, file.lfn) or "") + file.lfn
    (rule,) = catalog.rules(container)
    assert (rule.rse_expression, rule.copies, rule.expires) == (RSE, 1, None)


def test_a_second_time_changes_nothing(catalog: RucioCatalog, container: str, admin: Any) -> None:
    block, files = block_of(container), made_files(3)
    declare(catalog, container, block, files)
    before = _state(admin, container)
    assert declare(catalog, container, block, files) == 0
    assert _state(admin, container) == before


def _state(admin: Any, container: str) -> Any:
    """All that the server knows of a container, without the times at which it was asked."""
    blocks = sorted(child["name"] for child in admin.list_content("cms", container))
    return (
        admin.get_metadata("cms", container, plugin="ALL"),
        [admin.get_metadata("cms", block, plugin="ALL") for block in blocks],
        [sorted(map(str, admin.list_files("cms", block))) for block in blocks],
        sorted(rule["id"] for rule in admin.list_did_rules("cms", container)),
    )


def test_a_registration_that_was_cut_short_goes_on(catalog: RucioCatalog, container: str) -> None:
    block, files = block_of(container), made_files(4)
    catalog.ensure_container(container, {})
    catalog.ensure_block(container, block)
    catalog.declare(block, files[:2], RSE)
    assert catalog.container(container).open_blocks == 1
    assert catalog.container(container).events == 200
    assert declare(catalog, container, block, files) == 2
    assert catalog.container(container).events == 400


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("bytes", 7),
        ("adler32", "0badcafe"),
        ("events", 99),
        ("md5", "f" * 32),
        ("sha256", "f" * 64),
        ("lumis", (LumiRange(run=1, first=50, last=51),)),
    ],
)
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_disagreement_names_the_file(
    catalog: RucioCatalog, container: str, what: str, other: Any, is_closed: bool
) -> None:
    block, files = block_of(container), made_files(2)
    catalog.ensure_container(container, {})
    catalog.ensure_block(container, block)
    catalog.declare(block, files, RSE)
    if is_closed:
        catalog.close_block(block)
    changed = replace(files[1], **{what: other})
    with pytest.raises(CatalogError, match=f"{files[1].lfn} is known with.*{what}"):
        catalog.declare(block, [files[0], changed], RSE)


def test_a_replica_that_nobody_gets_is_told(catalog: RucioCatalog, container: str, admin: Any) -> None:
    block, files = block_of(container), made_files(3)
    declare(catalog, container, block, files)
    replicas = [{"scope": "cms", "name": file.lfn, "rse": RSE} for file in files[:2]]
    admin.declare_bad_file_replicas(replicas, "for a test")
    complaint = f"knows the replica of {files[0].lfn} at {RSE} as BAD, and so it is with 1 more files: nobody"
    with pytest.raises(CatalogError, match=complaint):
        catalog.declare(block, files, RSE)
    # what the line says helps
    made = [{"scope": "cms", "name": file.lfn, "state": "A"} for file in files[:2]]
    admin.update_replicas_states(RSE, made)
    assert catalog.declare(block, files, RSE) == 0


def test_a_file_that_is_known_as_bad_before_it_is_declared(
    catalog: RucioCatalog, container: str, admin: Any
) -> None:
    block, files = block_of(container), made_files(1)
    admin.add_replicas(
        RSE, [{"scope": "cms", "name": f.lfn, "bytes": f.bytes, "adler32": f.adler32} for f in files]
    )
    admin.declare_bad_file_replicas([{"scope": "cms", "name": files[0].lfn, "rse": RSE}], "for a test")
    with pytest.raises(
        CatalogError, match=f"{files[0].lfn} at {RSE} as BAD: nobody gets it; .*update_replicas"
    ):
        declare(catalog, container, block, files)


def test_a_file_that_was_detached_of_a_closed_block(
    catalog: RucioCatalog, container: str, admin: Any, server: Any
) -> None:
    block, files = block_of(container), made_files(2)
    declare(catalog, container, block, files)
    admin.detach_dids("cms", block, [{"scope": "cms", "name": files[0].lfn}])
    complaint = f"{files[0].lfn} is no longer in its block {block}, which is closed.*'rucio did update --open"
    with pytest.raises(CatalogError, match=complaint) as caught:
        declare(catalog, container, block, files)
    # what the line says helps
    words = str(caught.value).split("'")[1].split()
    server.rucio(*words[1:])
    assert declare(catalog, container, block, files) == 0
    assert (catalog.container(container).files, catalog.container(container).open_blocks) == (2, 0)


def test_a_file_has_one_block(catalog: RucioCatalog, container: str) -> None:
    block, files = block_of(container), made_files(2)
    declare(catalog, container, block, files)
    other = block_of(container)
    catalog.ensure_block(container, other)
    with pytest.raises(CatalogError, match=f"{files[0].lfn} belongs to another block"):
        catalog.declare(other, files, RSE)
    with pytest.raises(CatalogError, match=r"known with md5"):
        catalog.declare(other, [replace(files[0], md5="f" * 32)], RSE)
    with pytest.raises(CatalogError, match=r"is new, but its block .* is closed"):
        catalog.declare(block, made_files(1), RSE)


def test_a_block_has_one_container(catalog: RucioCatalog, container: str) -> None:
    block = block_of(container)
    declare(catalog, container, block, made_files(1))
    second = container.replace("-v1", "-v2")
    catalog.ensure_container(second, {})
    with pytest.raises(CatalogError, match="belongs to another container"):
        catalog.ensure_block(second, block)


def test_metadata_is_compared_except_for_what_was_measured(catalog: RucioCatalog, container: str) -> None:
    catalog.ensure_container(container, METADATA)
    catalog.ensure_container(container, {"energy_j": 6.6, "oversample": 10})
    assert catalog.container(container).metadata == {**METADATA, "oversample": 10}
    with pytest.raises(CatalogError, match="known with seed"):
        catalog.ensure_container(container, {"seed": 1})


def test_files_that_others_declared_get_their_events(
    catalog: RucioCatalog, container: str, admin: Any
) -> None:
    block, (file,) = block_of(container), made_files(1)
    admin.add_replicas(
        RSE, [{"scope": "cms", "name": file.lfn, "bytes": file.bytes, "adler32": file.adler32}]
    )
    assert declare(catalog, container, block, [file]) == 0
    (entry,) = catalog.files(container)
    assert (entry.events, entry.lumis) == (file.events, file.lumis)
    assert catalog.container(container).events == 100


def test_a_replica_that_is_lacking_is_added(catalog: RucioCatalog, container: str) -> None:
    block, files = block_of(container), made_files(2)
    declare(catalog, container, block, files)
    assert catalog.declare(block, files, "T2_IT_Pisa_Temp") == 0
    for entry in catalog.files(container):
        assert [replica.rse for replica in entry.replicas] == [RSE, "T2_IT_Pisa_Temp"]


def test_two_registrations_at_once(server: Any, container: str) -> None:
    blocks = [(block_of(container), made_files(40, 40 * i)) for i in range(3)]

    def run(_: int) -> None:
        with RucioCatalog("cms") as own:
            for block, files in blocks:
                declare(own, container, block, files)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, range(3)))
    with RucioCatalog("cms") as catalog:
        found = catalog.container(container)
        assert (found.blocks, found.open_blocks, found.files, found.events) == (3, 0, 120, 12000)
        assert len(catalog.rules(container)) == 1


def test_blocks_are_taken_one_after_the_other(catalog: RucioCatalog, container: str) -> None:
    """However many there are, the files of one are held at a time."""
    blocks = [(block_of(container), made_files(3, 3 * i)) for i in range(4)]
    held: list[str] = []

    def lazily() -> Iterator[tuple[str, list[CatalogFile]]]:
        for block, files in blocks:
            held.append(block)
            yield block, files

    catalog.ensure_container(container, METADATA)
    for number, files in enumerate(declare_blocks(catalog, container, lazily(), RSE), 1):
        assert (files, len(held)) == (3, number)
        assert catalog.container(container).open_blocks == 0


def test_blocks_of_containers_in_a_container(catalog: RucioCatalog, container: str, admin: Any) -> None:
    inner, files = container.replace("-v1", "-v2"), made_files(2)
    declare(catalog, inner, block_of(inner), files)
    catalog.ensure_container(container, {})
    admin.attach_dids("cms", container, [{"scope": "cms", "name": inner, "type": "CONTAINER"}])
    assert {file.lfn for file in catalog.files(container)} == {file.lfn for file in files}


def test_rules_may_end(catalog: RucioCatalog, container: str, caplog: pytest.LogCaptureFixture) -> None:
    declare(catalog, container, block_of(container), made_files(1))
    catalog.add_rule(container, "T2_IT_Pisa_Temp", lifetime_s=86400)
    expiring = [rule for rule in catalog.rules(container) if rule.expires]
    assert [rule.rse_expression for rule in expiring] == ["T2_IT_Pisa_Temp"]
    catalog.add_rule(container, "T2_IT_Pisa_Temp", lifetime_s=86400)
    assert not caplog.text
    catalog.add_rule(container, RSE, lifetime_s=86400)
    assert "has a rule at T2_IT_Pisa that never ends; it was left alone" in caplog.text
    assert len(catalog.rules(container)) == 2


def test_names_are_those_of_cms(catalog: RucioCatalog, container: str) -> None:
    with pytest.raises(RequestError, match="no scope of CMS"):
        RucioCatalog("atlas")
    with pytest.raises(RequestError, match="tier USER"):
        catalog.ensure_container("/Toy/jdoe-x-" + "0" * 32 + "/USER", {})
    with pytest.raises(CatalogError, match="no dataset"):
        catalog.container(container)
    with pytest.raises(CatalogError, match="'ttbar' is no name that Rucio allows here"):
        list(catalog.files("ttbar"))
    with pytest.raises(CatalogError, match="no block"):
        catalog.declare(block_of(container), made_files(1), RSE)
    with pytest.raises(CatalogError, match="no dataset"):
        catalog.ensure_block(container, block_of(container))
    with pytest.raises(CatalogError, match="RSE"):
        catalog.prefix("T2_XX_Nowhere", made_files(1)[0].lfn)
