"""Rucio as the catalogue: CMS's own record of which files make up which datasets, and where they are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from flashsim_prod.core.names import check_container, check_scope
from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog import rucio_rows as rows
from flashsim_prod.grid.catalog.base import (
    Block,
    Catalog,
    CatalogFile,
    Container,
    FileEntry,
    Rule,
    merged_metadata,
)
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls
from flashsim_prod.grid.catalog.rucio_repair import attach_to_closed, revive
from flashsim_prod.grid.catalog.rucio_states import (
    AVAILABLE,
    check_available,
    not_of_closed_block,
    replica_states,
)

log = logging.getLogger("flashsim_prod.catalog")

#: files in one call: the server takes at most 1000, in one transaction
_PORTION = 500
_EXISTS = ("DataIdentifierAlreadyExists",)
_ATTACHED = ("DuplicateContent", "FileAlreadyExists")


class RucioCatalog(Catalog):
    """The catalogue that a Rucio server keeps.

    Any number of commands may register the same dataset at once: every call is one transaction of the
    server and finds what another made before it.

    Parameters
    ----------
    scope : str
        ``cms``, ``user.<name>`` or ``group.<name>``.
    calls : RucioCalls, optional
        The server; by default the one that rucio's configuration names.

    Raises
    ------
    RequestError
        If `scope` is none.
    ConfigError
        If rucio-clients is not installed, not configured, or its credentials are refused.
    StorageError
        If the server does not answer.
    """

    kind = "rucio"

    def __init__(self, scope: str = "cms", calls: RucioCalls | None = None) -> None:
        super().__init__(check_scope(scope))
        self.calls = calls or RucioCalls()

    def close(self) -> None:
        self.calls.close()

    def ensure_container(self, container: str, metadata: Mapping[str, object]) -> None:
        check_container(self.scope, container)
        self.calls.settled("add_container", self.scope, container, already=_EXISTS)
        self._did(container, "CONTAINER")
        known = self._metadata(container)
        merged = merged_metadata(container, known, metadata)
        if new := {key: value for key, value in merged.items() if key not in known}:
            self.calls.ask("set_metadata_bulk", self.scope, container, new)

    def ensure_block(self, container: str, block: str) -> None:
        self._did(container, "CONTAINER")
        entry = self._name(block, "DATASET")
        if not self.calls.settled("add_datasets", [entry], already=_EXISTS):
            owners = {parent["name"] for parent in self.calls.ask("list_parent_dids", self.scope, block)}
            if owners - {container}:
                raise CatalogError(f"block {block} belongs to another container than {container}")
            if owners:
                return
        self.calls.settled("attach_dids", self.scope, container, [entry], already=_ATTACHED)

    def declare(self, block: str, files: Iterable[CatalogFile], rse: str) -> int:
        is_open = bool(self._did(block, "DATASET")["open"])
        attached = self._listed(block)
        new, remaining = 0, iter(files)
        while portion := list(islice(remaining, _PORTION)):
            new += self._declare(block, portion, rse, attached, is_open=is_open)
            check_available(self.calls, [self._name(file.lfn, "FILE") for file in portion], rse)
        return new

    def repair(self, block: str, file: CatalogFile, rse: str) -> None:
        known = self._rows([file.lfn], "FILE")
        if not known:
            raise CatalogError(f"Rucio has no file '{file.lfn}' in scope {self.scope}")
        # a file's checksum is for ever in Rucio
        rows.compare(file, known[0])
        revive(self.calls, self.scope, file, rse)
        if file.lfn not in self._listed(block):
            self._check_free(file.lfn, block)
            attach_to_closed(self.calls, self.scope, block, file.lfn)
        check_available(self.calls, [self._name(file.lfn, "FILE")], rse)

    def withheld(self, lfn: str, rse: str) -> str | None:
        state = replica_states(self.calls, [self._name(lfn, "FILE")], rse).get(lfn)
        return None if state == AVAILABLE else state

    def file(self, lfn: str) -> FileEntry | None:
        known = self._rows([lfn], "FILE")
        if not known:
            return None
        name = self._name(lfn, "FILE")
        details = {row["name"]: row for row in self.calls.ask("get_metadata_bulk", [name], plugin="JSON")}
        replicas = {row["name"]: row for row in self.calls.ask("list_replicas", [name])}
        return rows.to_entry("", known[0], replicas.get(lfn, {}), details.get(lfn, {}))

    def close_block(self, block: str) -> None:
        if self._did(block, "DATASET")["open"]:
            # closed by another command in between
            self.calls.settled("close", self.scope, block, already=("UnsupportedOperation",))

    def add_rule(
        self, container: str, rse_expression: str, *, copies: int = 1, lifetime_s: float | None = None
    ) -> None:
        is_new = self.calls.settled(
            "add_replication_rule",
            dids=[{"scope": self.scope, "name": container}],
            copies=copies,
            rse_expression=rse_expression,
            lifetime=None if lifetime_s is None else round(lifetime_s),
            grouping="DATASET",
            already=("DuplicateRule",),
        )
        if not is_new:
            self._tell_other_end(container, rse_expression, lifetime_s)

    def _tell_other_end(self, container: str, rse_expression: str, lifetime_s: float | None) -> None:
        """Say so if a rule that is there ends though it should not, or the other way round."""
        for rule in self.rules(container):
            if rule.rse_expression == rse_expression and (rule.expires is None) != (lifetime_s is None):
                ends = f"ends {rule.expires:%Y-%m-%d}" if rule.expires else "never ends"
                log.warning(
                    "%s has a rule at %s that %s; it was left alone (rucio rule update changes it)",
                    container,
                    rse_expression,
                    ends,
                )

    def containers(self) -> list[Container]:
        return [self.container(name) for name in self.names("*")]

    def names(self, pattern: str) -> list[str]:
        """Names of this scope's containers that fit `pattern`, in which ``*`` stands for anything."""
        found = self.calls.ask("list_dids", self.scope, [{"name": pattern}], did_type="container")
        return sorted(found)

    def container(self, name: str) -> Container:
        self._did(name, "CONTAINER")
        created = self.calls.ask("get_metadata", self.scope, name)["created_at"]
        blocks = self.blocks(name)
        return Container(
            scope=self.scope,
            name=name,
            created=rows.utc(created),
            metadata=self._metadata(name),
            blocks=len(blocks),
            open_blocks=sum(block.is_open for block in blocks),
            files=sum(block.files for block in blocks),
            events=sum(block.events for block in blocks),
            bytes=sum(block.bytes for block in blocks),
        )

    def blocks(self, container: str) -> list[Block]:
        names = list(self._block_names(container))
        found = [row for portion in _portions(names) for row in self._rows(portion, "DATASET")]
        return [self._block(row) for row in sorted(found, key=lambda row: (row["created_at"], row["name"]))]

    def files(self, container: str) -> Iterator[FileEntry]:
        if "#" in container:
            # one block of it
            self._did(container, "DATASET")
            yield from self._entries(container)
            return
        self._did(container, "CONTAINER")
        for block in self.blocks(container):
            yield from self._entries(block.name)

    def rules(self, container: str) -> list[Rule]:
        found = self.calls.ask("list_did_rules", self.scope, container)
        return [rows.to_rule(container, row) for row in found]

    def prefix(self, rse: str, lfn: str) -> str | None:
        found = self.calls.ask("lfns2pfns", rse, [f"{self.scope}:{lfn}"], operation="write")
        pfn: str = rows.path_of(next(iter(found.values())))
        if not pfn.endswith(lfn):
            raise CatalogError(f"{rse} names files otherwise than by LFN ({lfn} is {pfn}); use another --rse")
        return pfn.removesuffix(lfn) or "/"

    def _block_names(self, container: str) -> Iterator[str]:
        """Names of all blocks of a container, and of those that it may hold."""
        for child in self.calls.ask("list_content", self.scope, container):
            if child["type"] == "CONTAINER":
                yield from self._block_names(child["name"])
            else:
                yield child["name"]

    def _declare(
        self,
        block: str,
        files: list[CatalogFile],
        rse: str,
        attached: Mapping[str, rows.Row],
        *,
        is_open: bool,
    ) -> int:
        """One portion, compared with what is known, declared in one call and read back."""
        known = {row["name"]: row for row in self._rows([file.lfn for file in files], "FILE")}
        for file in files:
            if file.lfn in known:
                rows.compare(file, known[file.lfn])
        self._check_attached([file for file in files if file.lfn in attached], rse)
        outside = [file for file in files if file.lfn not in attached]
        for file in outside:
            if file.lfn in known:
                self._check_free(file.lfn, block)
        if not outside:
            return 0
        if not is_open:
            lfn = outside[0].lfn
            raise not_of_closed_block(lfn, self.scope, block, is_known=lfn in known)
        self._complete([file for file in outside if file.lfn in known and known[file.lfn]["events"] is None])
        self._attach(block, [_without_md5(file, known.get(file.lfn)) for file in outside], rse)
        self._read_back(block, outside)
        return sum(file.lfn not in known for file in outside)

    def _attach(self, block: str, files: list[CatalogFile], rse: str) -> None:
        attachment = {
            "scope": self.scope,
            "name": block,
            "rse": rse,
            "dids": [rows.to_did(self.scope, file) for file in files],
        }
        # another command that registers the same may have filled and closed the block by now
        self.calls.settled(
            "add_files_to_datasets", [attachment], ignore_duplicate=True, already=("UnsupportedOperation",)
        )

    def _complete(self, files: list[CatalogFile]) -> None:
        """Add what files lack that somebody else declared, without knowing what is in them."""
        if files:
            dids = [rows.to_did(self.scope, file) for file in files]
            self.calls.ask(
                "set_dids_metadata_bulk",
                [{what: did[what] for what in ("scope", "name", "meta")} for did in dids],
            )

    def _check_attached(self, files: list[CatalogFile], rse: str) -> None:
        """Compare details of files that the block has already; a replica that they lack at `rse` is added."""
        if not files:
            return
        dids = [self._name(file.lfn, "FILE") for file in files]
        details = {row["name"]: row for row in self.calls.ask("get_metadata_bulk", dids, plugin="JSON")}
        for file in files:
            rows.compare_details(file, details.get(file.lfn, {}))
        there = replica_states(self.calls, dids, rse)
        if lacking := [rows.to_replica(self.scope, file) for file in files if file.lfn not in there]:
            self.calls.ask("add_replicas", rse, lacking)

    def _check_free(self, lfn: str, block: str) -> None:
        """See that a file that is known, but not of `block`, is of no other one."""
        for parent in self.calls.ask("list_parent_dids", self.scope, lfn):
            if parent["name"] != block:
                raise CatalogError(f"{lfn} belongs to another block ({parent['name']}) than {block}")

    def _read_back(self, block: str, files: list[CatalogFile]) -> None:
        found = self._listed(block)
        for file in files:
            if file.lfn not in found:
                raise CatalogError(f"{file.lfn} was declared, but {block} does not have it; register again")
            rows.compare(file, found[file.lfn])

    def _entries(self, block: str) -> Iterator[FileEntry]:
        listed = self._listed(block)
        did = self._name(block, "DATASET")
        replicas = {row["name"]: row for row in self.calls.ask("list_replicas", [did])}
        for portion in _portions(sorted(listed)):
            dids = [self._name(lfn, "FILE") for lfn in portion]
            details = {row["name"]: row for row in self.calls.ask("get_metadata_bulk", dids, plugin="JSON")}
            for lfn in portion:
                yield rows.to_entry(block, listed[lfn], replicas.get(lfn, {}), details.get(lfn, {}))

    def _block(self, row: rows.Row) -> Block:
        if row["is_open"]:
            # sums are made when a block is closed
            listed = self._listed(row["name"]).values()
            sums = [sum(file[what] or 0 for file in listed) for what in ("events", "bytes")]
            return Block(row["name"], True, len(listed), *sums)
        return Block(row["name"], False, row["length"] or 0, row["events"] or 0, row["bytes"] or 0)

    def _did(self, name: str, kind: str) -> rows.Row:
        """What the server says of a container or dataset; `CatalogError` if it is none."""
        if not self._rows([name], kind):
            what = "dataset" if kind == "CONTAINER" else "block"
            raise CatalogError(f"Rucio has no {what} '{name}' in scope {self.scope}")
        found: rows.Row = self.calls.ask("get_did", self.scope, name)
        if found["type"] != kind:
            raise CatalogError(f"{self.scope}:{name} is a {found['type']} in Rucio, not a {kind}")
        return found

    def _rows(self, names: Sequence[str], kind: str) -> list[rows.Row]:
        """Records of those of `names` that the server knows."""
        if not names:
            return []
        found: list[rows.Row] = self.calls.ask(
            "get_metadata_bulk", [self._name(name, kind) for name in names]
        )
        return found

    def _listed(self, block: str) -> dict[str, rows.Row]:
        return {row["name"]: row for row in self.calls.ask("list_files", self.scope, block)}

    def _metadata(self, name: str) -> dict[str, object]:
        found = self.calls.ask("get_metadata", self.scope, name, plugin="JSON")
        return {key: value for key, value in found.items() if key not in ("scope", "name")}

    def _name(self, name: str, kind: str) -> dict[str, Any]:
        return {"scope": self.scope, "name": name, "type": kind}


def _without_md5(file: CatalogFile, known: rows.Row | None) -> CatalogFile:
    """`file` as the server can compare it: it takes an md5 that it does not have for another one."""
    return replace(file, md5=None) if known is not None and not known["md5"] else file


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _PORTION):
        yield names[start : start + _PORTION]
