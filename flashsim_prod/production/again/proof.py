"""Whether a file that was made again is the one that was lost: by its bytes, or by every value in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import FlashSimError
from flashsim_prod.grid.catalog.base import FileEntry
from flashsim_prod.grid.storage.checksums import Checksums, file_checksums
from flashsim_prod.production.again.jobs import AgainRun
from flashsim_prod.production.again.subject import Subject
from flashsim_prod.production.job.merge import in_its_form
from flashsim_prod.production.job.run import read_report
from flashsim_prod.software import software_here

#: branches that a refusal names
_NAMED = 5

#: the branches in which files that are good differ from what is made again now; ``None`` without such files
Witness = Callable[[], list[str] | None]


class Proof(StrEnum):
    """How it is known that a file holds what the lost one held."""

    BYTES = "bytes"  # size and checksums are the same
    VALUES = "values"  # the digests of all values are those that the lost file's job told
    WITNESS = "witness"  # another file of the dataset comes out the same, value by value


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison.

    Attributes
    ----------
    proof : Proof or None
        ``None`` if it is another file, or nothing shows that it is not.
    sums : Checksums
        Of the file as it is now.
    made : JobReport or None
        Of the job that made it again.
    why : str
        What differs, if there is no proof.
    """

    proof: Proof | None
    sums: Checksums
    made: JobReport | None
    why: str = ""


def prove(subject: Subject, run: AgainRun, index: int, entry: FileEntry, witness: Witness) -> Verdict:
    """Compare file `index`, made again, with what is known of the lost one.

    Parameters
    ----------
    subject : Subject
    run : AgainRun
        Has made the file.
    entry : FileEntry
        What is known of the lost one.
    witness : callable
        Is asked only if neither bytes nor digests tell.
    """
    path, made = run.output(entry.lfn), run.report(Stage.MERGE, index)
    sums = file_checksums(path)
    verdict = Verdict(None, sums, made)
    if matches(sums, entry):
        return replace(verdict, proof=Proof.BYTES)
    if made is None or made.events != entry.events:
        return replace(verdict, why=f"{made.events if made else 0} events, there were {entry.events}")
    other = _merged_otherwise(subject.request, run, index, path, entry)
    if other is not None:
        return replace(verdict, proof=Proof.BYTES, sums=other)
    told = _told_content(subject, index, entry)
    if told is not None and made.content is not None:
        return _by_digest(told, made.content, verdict)
    if run.any_bundle:
        # another file's values say little of what this one's would be of another bundle
        why = "other bytes, made by another bundle, and nothing tells the values that it held"
        return replace(verdict, why=why)
    return _by_witness(witness(), verdict, entry)


def matches(sums: Checksums, entry: FileEntry) -> bool:
    """Whether a file has the bytes that are known of `entry`; not every catalogue keeps sha256."""
    return (sums.bytes, sums.adler32) == (entry.bytes, entry.adler32) and entry.sha256 in ("", sums.sha256)


def _merged_otherwise(
    request: Request, run: AgainRun, index: int, path: Path, entry: FileEntry
) -> Checksums | None:
    """The same inputs joined by the other tool, in the place of `path` if that gives the bytes of `entry`.

    hadd and uproot write other bytes for the same events, and a file was joined by what its node had.
    """
    from flashsim_prod.physics.analysis.schemas import schema_of
    from flashsim_prod.physics.nanoaod.merger import find_hadd, merge_files

    inputs = run.inputs(index)
    if find_hadd() is None or not inputs:
        # it was uproot, and there is nothing else
        return None
    other = path.with_name("otherwise.root")
    made = other
    try:
        merge_files(inputs, other, schema=schema_of(request), tool="uproot")
        made = in_its_form(request, other, Timings())
        sums = file_checksums(made)
        if not matches(sums, entry):
            return None
        made.replace(path)
    except FlashSimError:
        return None
    finally:
        for one in (other, made):
            one.unlink(missing_ok=True)
    return sums


def _told_content(subject: Subject, index: int, entry: FileEntry) -> dict[str, str] | None:
    """The digests that the job told which made the lost file, if it told any."""
    report = read_report(subject.folder.report(Stage.MERGE, index))
    if report is None or report.output is None or report.output.lfn != entry.lfn:
        return None
    output = report.output
    is_it = matches(Checksums(output.bytes, output.adler32, output.sha256), entry)
    return report.content if is_it else None


def _by_digest(told: dict[str, str], made: dict[str, str], verdict: Verdict) -> Verdict:
    from flashsim_prod.physics.nanoaod.content import different_parts

    differing = different_parts(told, made)
    if not differing:
        return replace(verdict, proof=Proof.VALUES)
    return replace(verdict, why=f"other values of {_listed(differing)}")


def _by_witness(differing: list[str] | None, verdict: Verdict, entry: FileEntry) -> Verdict:
    if differing is None:
        why = (
            f"other bytes (adler32 {verdict.sums.adler32}, it had {entry.adler32}), and nothing tells the "
            "values that it held: no digests of them, and no sound file of the dataset to compare with"
        )
    elif differing:
        why = (
            f"{software_here()} makes other values of {_listed(differing)} than a sound file of "
            "the dataset holds"
        )
    else:
        return replace(verdict, proof=Proof.WITNESS)
    return replace(verdict, why=why)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
