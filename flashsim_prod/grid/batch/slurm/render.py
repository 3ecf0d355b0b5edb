"""The scripts that are handed to Slurm, one for each stage, and the options of each array."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flashsim_prod import resources
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.site import Site
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import NodeError, NoSpaceError, RequestError, StorageError, all_errors
from flashsim_prod.files import write_whole
from flashsim_prod.grid.batch.base import Submission
from flashsim_prod.grid.batch.slurm.arrays import Array
from flashsim_prod.grid.batch.slurm.section import SlurmRules

_NOT_IN_LISTS = re.compile(r"[:,\n]")


def script_of(submission: Submission, stage: Stage) -> Path:
    """The script of a stage."""
    return submission.folder / f"{stage}.sh"


def render(submission: Submission, site: Site) -> None:
    """Write the scripts.

    Raises
    ------
    RequestError
        If a path cannot be told to Slurm or to a container.
    StorageError
        If the folder cannot be written.
    """
    rules = site.rules_as(SlurmRules)
    check_paths((submission.home, submission.request_file.parent), rules)
    write_scripts(submission.folder, map(str, Stage), _context(submission, site, rules))


def write_scripts(folder: Path, names: Iterable[str], context: Mapping[str, Any]) -> None:
    """Write the scripts of these names into a folder."""
    environment = resources.templates("slurm", are_pages=False)
    environment.filters["shell"] = shlex.quote
    for name in names:
        text = environment.get_template(f"{name}.sh.j2").render(context)
        write_whole(folder / f"{name}.sh", text, mode=0o755)


def of_site(site: Site, rules: SlurmRules) -> dict[str, Any]:
    """What all scripts of a site need to know."""
    final = sorted({error.exit_code for error in all_errors() if not error.retryable})
    return {
        "site": site,
        "rules": rules,
        "software": rules.software,
        "gpus": rules.gpus,
        "options": {stage.value: list(options_of_site(site, stage)) for stage in Stage},
        "python": rules.software.python.replace("{python}", sys.executable),
        "codes": {
            "node": NodeError.exit_code,
            "full": NoSpaceError.exit_code,
            "storage": StorageError.exit_code,
            "final": final,
        },
    }


def options_of_site(site: Site, stage: Stage) -> Iterator[str]:
    """What every job of a stage asks for, as options of sbatch."""
    rules, wanted = site.rules_as(SlurmRules), site.resources
    partition = rules.merge_partition if stage is Stage.MERGE and rules.merge_partition else rules.partition
    named = {
        "partition": partition,
        "account": rules.account,
        "qos": rules.qos,
        "constraint": rules.constraint if stage is Stage.SIMULATE else None,
        "reservation": rules.reservation,
        "exclude": rules.exclude,
        "gres": rules.gpus.gres if rules.gpus and stage is Stage.SIMULATE else None,
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(wanted.cpus),
        "mem": f"{wanted.memory_mb}M",
        # Slurm counts in minutes
        "time": str(math.ceil(wanted.walltime_min)),
    }
    yield from (f"--{key}={value}" for key, value in named.items() if value)
    # of a node that is lost or taken away, Slurm itself starts the job again elsewhere
    yield "--requeue"
    for key, value in rules.options.items():
        yield f"--{key}={value}" if value else f"--{key}"


def options_of_array(
    site: Site, array: Array, folder: Path, *, memory_mb: int | None, exclude: str, after: Iterable[str]
) -> Iterator[str]:
    """What one array asks for besides; `after` are the tasks that must have ended well before."""
    rules = site.rules_as(SlurmRules)
    yield f"--job-name={array.name}"
    yield f"--array=0-{len(array.keys) - 1}"
    yield f"--chdir={folder}"
    yield f"--output={str(array.out_path('')).replace('%', '%%').removesuffix('.out')}%a.out"
    yield "--open-mode=append"
    yield exported(rules)
    if memory_mb is not None:
        yield f"--mem={memory_mb}M"
    if exclude:
        yield f"--exclude={','.join(filter(None, (rules.exclude, exclude)))}"
    before = ":".join(after)
    if before:
        yield f"--dependency=afterok:{before}"
        yield "--kill-on-invalid-dep=yes"


def exported(rules: SlurmRules) -> str:
    """Which variables of the command's environment jobs get, as an option of sbatch."""
    return f"--export={','.join(rules.export) or 'NIL'}"


def check_paths(paths: Iterable[Path], rules: SlurmRules) -> None:
    """See that these folders can be told to Slurm, and to a container; `RequestError` if one cannot."""
    for path in paths:
        if "\n" in str(path) or "\\" in str(path):
            raise RequestError(
                f"{str(path)!r}: Slurm takes no paths with a line break or a backslash; rename it"
            )
        if rules.software.image and _NOT_IN_LISTS.search(str(path)):
            raise RequestError(f"{path}: folders with : or , cannot be bound into a container; rename it")


def _context(submission: Submission, site: Site, rules: SlurmRules) -> dict[str, Any]:
    files = RequestFolder(submission.request_file.parent)
    return {
        **of_site(site, rules),
        "request": submission.request,
        "number": submission.number,
        "home": str(submission.home),
        "request_file": str(submission.request_file),
        "logs": str(files.logs),
        "reports": str(files.reports),
        "binds": [str(submission.home), str(files.path), *rules.software.binds],
    }
