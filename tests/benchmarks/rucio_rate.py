"""Registration of many files in Rucio: time against the bare bulk calls on the same server, and memory.

    tests/peers/rucio/server.sh up postgres && eval "$(tests/peers/rucio/server.sh env)"
    python tests/benchmarks/rucio_rate.py [FILES [FILES_PER_BLOCK]]

The bare calls are those of rucio's own client, one per block and what it holds: a dataset, its place in
the container, its files with a replica, its closing; once with sizes and checksums only, once with events
and luminosity sections, too. No files exist: checksums are not read here.
"""

from __future__ import annotations

import resource
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

from flashsim_prod.core.report import LumiRange
from flashsim_prod.grid.catalog import rucio_rows
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.rucio import RucioCatalog
from flashsim_prod.production.dataset.register import declare_blocks

RSE = "T2_IT_Pisa"
_EVERYTHING = {"read": 1, "write": 1, "delete": 1}
#: without one no replicas are listed
_PROTOCOL = {
    "scheme": "file",
    "hostname": "localhost",
    "port": 0,
    "prefix": "/tmp/",
    "impl": "rucio.rse.protocols.posix.Default",
    "domains": {"lan": _EVERYTHING, "wan": _EVERYTHING},
}


def main(n_files: int, per_block: int) -> None:
    """Measure, and print a line for each."""
    from rucio.client import Client

    client = Client()
    furnish(client)
    n_blocks = -(-n_files // per_block)
    plain = timed(lambda: bare(client, n_blocks, per_block, with_meta=False))
    print(f"bare calls, sizes and checksums:           {plain:7.1f} s")
    whole = timed(lambda: bare(client, n_blocks, per_block, with_meta=True))
    print(f"bare calls, with events and lumis:         {whole:7.1f} s")
    before = rss_mb()
    container = new_container()
    first = timed(lambda: register(container, n_blocks, per_block, seed=1))
    grown = rss_mb() - before
    print(
        f"registration, compared and read back:      {first:7.1f} s "
        f"= {first / whole:.2f} x, {first / plain:.2f} x"
    )
    again = timed(lambda: register(container, n_blocks, per_block, seed=1))
    print(f"the same once more, nothing to do:         {again:7.1f} s")
    print(f"peak memory grown by {grown:.1f} MB over {n_files} files in {n_blocks} blocks")


def furnish(client: Any) -> None:
    """Scope and storage element, unless they are there."""
    from rucio.common.exception import Duplicate

    try:
        client.add_scope("root", "cms")
        client.add_rse(RSE, deterministic=True, rse_type="DISK")
        client.add_rse_attribute(RSE, "lfn2pfn_algorithm", "cmslike")
        client.add_protocol(RSE, _PROTOCOL)
    except Duplicate:
        pass


def new_container() -> str:
    return f"/Rate_{uuid.uuid4().hex[:12]}/FlashSim2018-x-v1/NANOAODSIM"


def files_of(container: str, block: int, number: int, seed: int) -> Iterator[CatalogFile]:
    """Files of one block, the same each time."""
    for i in range(number):
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{container}{seed}/{block}/{i}")
        lfn = f"/store/mc/FlashSim2018/Rate/NANOAODSIM/x-v1/000000/{str(name).upper()}.root"
        lumis = (LumiRange(run=1, first=100 * i + 1, last=100 * i + 100),)
        yield CatalogFile(lfn, "", 10**9, 10**5, f"{i:08x}", f"{i:064x}", lumis, f"{i:032x}")


def block_name(container: str, block: int) -> str:
    return f"{container}#{uuid.uuid5(uuid.NAMESPACE_URL, f'{container}{block}')}"


def bare(client: Any, n_blocks: int, per_block: int, *, with_meta: bool) -> None:
    """Nothing but the calls that it takes."""
    container = new_container()
    client.add_container("cms", container)
    for block in range(n_blocks):
        name = block_name(container, block)
        did = {"scope": "cms", "name": name, "type": "DATASET"}
        client.add_datasets([did])
        client.attach_dids("cms", container, [did])
        dids = [rucio_rows.to_did("cms", file) for file in files_of(container, block, per_block, 0)]
        if not with_meta:
            dids = [{key: value for key, value in one.items() if key != "meta"} for one in dids]
        attachment = {"scope": "cms", "name": name, "rse": RSE, "dids": dids}
        client.add_files_to_datasets([attachment], ignore_duplicate=True)
        client.close("cms", name)
    client.add_replication_rule([{"scope": "cms", "name": container}], 1, RSE, grouping="DATASET")


def register(container: str, n_blocks: int, per_block: int, seed: int) -> None:
    """What this program does: compare, declare, read back, close."""
    with RucioCatalog("cms") as catalog:
        catalog.ensure_container(container, {"seed": seed})
        blocks = (
            (block_name(container, block), files_of(container, block, per_block, seed))
            for block in range(n_blocks)
        )
        for _ in declare_blocks(catalog, container, blocks, RSE):
            pass
        catalog.add_rule(container, RSE)
        found = catalog.container(container)
        assert (found.files, found.open_blocks) == (n_blocks * per_block, 0)


def timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*[int(word) for word in sys.argv[1:]] or [10_000], *([500] if len(sys.argv) < 3 else []))
