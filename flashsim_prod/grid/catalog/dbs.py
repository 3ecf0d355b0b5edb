"""What DBS, CMS's bookkeeping, is told of a block: one JSON object, checked before it is sent.

The server takes some mistakes without a word (wrong sums, a block of another dataset, checksums that are
none, luminosity sections in two files), so everything is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashsim_prod.core.names import DatasetName
from flashsim_prod.errors import CatalogError

Dump = dict[str, Any]

_ADLER32 = re.compile(r"[0-9a-f]{8}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_CKSUM = re.compile(r"[0-9]+")
_SITE = re.compile(r"T[0-3]_[A-Z]{2}(_[A-Za-z0-9]+)+")
_CONFIGURATION = ("release_version", "pset_hash", "app_name", "output_module_label", "global_tag")


@dataclass(frozen=True)
class LumiCount:
    """A luminosity section of a file and how many of its events are there."""

    run: int
    lumi: int
    events: int


@dataclass(frozen=True)
class DbsFile:
    """A file as DBS keeps it; `cksum` is that of POSIX."""

    lfn: str
    bytes: int
    events: int
    adler32: str
    md5: str
    cksum: str
    lumis: tuple[LumiCount, ...]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What made a dataset, in the words that DBS has for it.

    Attributes
    ----------
    release : str
        CMSSW release whose data format the files follow.
    configuration : str
        32 hexadecimal digits that stand for all settings.
    global_tag : str
        Conditions.
    author : str
        Who made it.
    created : int
        When [s since 1970].
    """

    release: str
    configuration: str
    global_tag: str
    author: str
    created: int
    application: str = "flashsim-prod"
    label: str = "NANOAODSIMoutput"
    cross_section_pb: float | None = None


def block_dump(
    dataset: DatasetName, block: str, files: Iterable[DbsFile], site: str, made_by: Provenance
) -> Dump:
    """The dump of one block, checked.

    Parameters
    ----------
    dataset : DatasetName
    block : str
        Its full name.
    files : iterable of DbsFile
    site : str
        Where the block was made and lies, as ``T2_IT_Pisa``.
    made_by : Provenance

    Raises
    ------
    CatalogError
        If `check_dump` finds something wrong.
    """
    entries = list(files)
    configuration = {
        "release_version": made_by.release,
        "pset_hash": made_by.configuration,
        "app_name": made_by.application,
        "output_module_label": made_by.label,
        "global_tag": made_by.global_tag,
    }
    dump: Dump = {
        "dataset_conf_list": [configuration],
        "file_conf_list": [{**configuration, "lfn": file.lfn} for file in entries],
        "files": [_file(file) for file in entries],
        "processing_era": {"processing_version": dataset.version, "create_by": made_by.author},
        "primds": {"primary_ds_name": dataset.primary, "primary_ds_type": "mc"},
        "dataset": {
            "dataset": str(dataset),
            "processed_ds_name": str(dataset).split("/")[2],
            "data_tier_name": dataset.tier,
            "dataset_access_type": "VALID",
            "physics_group_name": "NoGroup",
            "xtcrosssection": made_by.cross_section_pb,
        },
        "acquisition_era": {"acquisition_era_name": dataset.campaign, "start_date": made_by.created},
        "block": {
            "block_name": block,
            "origin_site_name": site,
            "open_for_writing": 0,
            "file_count": len(entries),
            "block_size": sum(file.bytes for file in entries),
            "create_by": made_by.author,
            "creation_date": made_by.created,
        },
        "file_parent_list": [
            {"logical_file_name": file.lfn, "parent_logical_file_name": parent}
            for file in entries
            for parent in file.parents
        ],
        # the server takes these from the files' parents
        "dataset_parent_list": [],
    }
    check_dump(dump)
    return dump


def check_dump(dump: Mapping[str, Any]) -> None:
    """See that a dump is whole and agrees with itself, also where the server would not mind.

    Raises
    ------
    CatalogError
        With the first thing that is wrong: names the file.
    """
    try:
        files, block = dump["files"], dump["block"]
        _check_block(dump["dataset"]["dataset"], block, files)
        for configuration in (*dump["dataset_conf_list"], *dump["file_conf_list"]):
            _check_configuration(block["block_name"], configuration)
        _check_configured(dump)
        for file in files:
            _check_file(file)
        _check_lumis(files)
        _check_parents(dump["file_parent_list"], files)
    except (KeyError, TypeError) as error:
        raise CatalogError(f"this block dump lacks something or is none: {error!r}") from error


def _file(file: DbsFile) -> dict[str, Any]:
    return {
        "logical_file_name": file.lfn,
        "file_type": "EDM",
        "file_size": file.bytes,
        "event_count": file.events,
        "check_sum": file.cksum,
        "adler32": file.adler32,
        "md5": file.md5,
        "file_lumi_list": [
            {"run_num": lumi.run, "lumi_section_num": lumi.lumi, "event_count": lumi.events}
            for lumi in file.lumis
        ],
    }


def _check_block(dataset: str, block: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> None:
    name, size = block["block_name"], sum(file["file_size"] for file in files)
    if name.partition("#")[0] != dataset or not name.partition("#")[2]:
        raise CatalogError(f"block {name} is none of dataset {dataset}")
    if not files:
        raise CatalogError(f"block {name} holds no files")
    if (block["file_count"], block["block_size"]) != (len(files), size):
        raise CatalogError(
            f"block {name} is said to have {block['file_count']} files of {block['block_size']} bytes, "
            f"but holds {len(files)} of {size}"
        )
    if not _SITE.fullmatch(block["origin_site_name"] or ""):
        raise CatalogError(f"block {name}: '{block['origin_site_name']}' is no site; say --rse")
    lfns = [file["logical_file_name"] for file in files]
    if twice := next((lfn for lfn in lfns if lfns.count(lfn) > 1), None):
        raise CatalogError(f"block {name} holds {twice} twice")


def _check_configuration(block: str, configuration: Mapping[str, Any]) -> None:
    for key in _CONFIGURATION:
        if not isinstance(configuration[key], str) or not configuration[key]:
            raise CatalogError(f"block {block}: its configuration has no {key}")


def _check_configured(dump: Mapping[str, Any]) -> None:
    """Every file has one configuration, and it is one of the dataset's."""
    known = [{key: one[key] for key in _CONFIGURATION} for one in dump["dataset_conf_list"]]
    told = {one["lfn"]: {key: one[key] for key in _CONFIGURATION} for one in dump["file_conf_list"]}
    for file in dump["files"]:
        if told.get(file["logical_file_name"]) not in known:
            raise CatalogError(f"{file['logical_file_name']}: its configuration is none of the dataset's")


def _check_file(file: Mapping[str, Any]) -> None:
    lfn = file["logical_file_name"]
    if not lfn.startswith("/store/") or len(lfn) > 500:
        raise CatalogError(f"'{lfn}' is no logical file name")
    # merging in the shower may leave a file without events
    for key, least in (("file_size", 1), ("event_count", 0)):
        # JSON true is a Python int, too
        if type(file[key]) is not int or file[key] < least:
            raise CatalogError(f"{lfn}: {key} is {file[key]!r}, expected a whole number, {least} or more")
    for key, pattern in (("adler32", _ADLER32), ("md5", _MD5), ("check_sum", _CKSUM)):
        if not isinstance(file[key], str) or not pattern.fullmatch(file[key]):
            raise CatalogError(f"{lfn}: {key} is {file[key]!r}, which it cannot be")
    lumis = file["file_lumi_list"]
    if not lumis:
        raise CatalogError(f"{lfn} has no luminosity sections")
    for lumi in lumis:
        if any(type(lumi[key]) is not int or lumi[key] < 1 for key in ("run_num", "lumi_section_num")):
            raise CatalogError(f"{lfn}: runs and luminosity sections count from 1: {lumi}")
    events = sum(lumi["event_count"] for lumi in lumis)
    if events != file["event_count"]:
        raise CatalogError(
            f"{lfn} is said to have {file['event_count']} events, its luminosity sections {events}"
        )


def _check_lumis(files: Sequence[Mapping[str, Any]]) -> None:
    """No luminosity section is in two files."""
    seen: dict[tuple[int, int], str] = {}
    for file in files:
        for lumi in file["file_lumi_list"]:
            key = (lumi["run_num"], lumi["lumi_section_num"])
            if key in seen:
                raise CatalogError(
                    f"run {key[0]} lumi {key[1]} is in {file['logical_file_name']} and in {seen[key]}"
                )
            seen[key] = file["logical_file_name"]


def _check_parents(parents: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> None:
    """Each parent is told of a file of the block, and none is one of them."""
    lfns = {file["logical_file_name"] for file in files}
    for pair in parents:
        child, parent = pair["logical_file_name"], pair["parent_logical_file_name"]
        if child not in lfns or parent in lfns:
            raise CatalogError(f"{parent} is said to be the parent of {child}, which it cannot be")
