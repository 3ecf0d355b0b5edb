"""Training on a pool: a DAG with one job for each file and each object model, and the bundle after them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.base import Training
from flashsim_prod.grid.batch.htcondor.client import Pool
from flashsim_prod.grid.batch.htcondor.engine import TOKEN
from flashsim_prod.grid.batch.htcondor.render import of_site, write_files
from flashsim_prod.grid.batch.htcondor.section import FileAccess, HTCondorRules

_DAG = "train.dag"
_TEMPLATES = (
    *(_DAG, "dagman.config", "train.sh"),
    *("draw.sub", "draw.sh", "fit.sub", "bundle.sub", "bundle.sh"),
)
#: holds what the jobs of this folder are found again by; written before they are handed over
_INTENTION = "intention.json"
_AT_WORK = "JobStatus =!= 3 && JobStatus =!= 4"


def submit_training(site: Site, training: Training) -> tuple[int, bool]:
    """Hand tables and fits over, unless they are at work; DAGMan's cluster, and whether it is new.

    Parameters
    ----------
    site : Site
        One with a section ``htcondor``.
    training : Training
        The nodes must see its folders.

    Raises
    ------
    ConfigError
        If the nodes do not see this machine's files.
    StorageError
        If the schedd cannot be reached.
    """
    rules, work = site.rules_as(HTCondorRules), training.work
    if rules.files is not FileAccess.SHARED:
        raise ConfigError(f"site {site.name}: training needs nodes that see {work} (htcondor.files: shared)")
    folder, pool = work / "batch", Pool(rules.schedd, rules.pool)
    found = _at_work(pool, folder / _INTENTION)
    if found is not None:
        return found, False
    context = {
        "work": str(work),
        "models": training.models,
        "options": training.options,
        "output": "" if training.output is None else str(training.output),
        "drawings": training.drawings,
        "bundle": training.bundle,
    }
    write_files(
        folder, _TEMPLATES, {**of_site(site, rules), **context, "folder": str(folder), "stage": "fit"}
    )
    token = secrets.token_hex(16)
    with storage_errors(f"writing {folder}"):
        for left in (*folder.glob(f"{_DAG}.*"), folder / "train.status"):
            left.unlink(missing_ok=True)
    write_json(folder / _INTENTION, {"token": token})
    cluster = pool.submit_dag(folder / _DAG, {"MaxIdle": rules.throttle.max_idle}, {TOKEN: token})
    return cluster, True


def training_at_work(site: Site, work: Path) -> bool:
    """Whether fits of this folder are with the schedd; `StorageError` if it cannot be reached."""
    rules = site.rules_as(HTCondorRules)
    return _at_work(Pool(rules.schedd, rules.pool), work / "batch" / _INTENTION) is not None


def _at_work(pool: Pool, intention: Path) -> int | None:
    """DAGMan's cluster of an earlier hand-over that has not ended."""
    if not intention.is_file():
        return None
    token = json.loads(read_text(intention))["token"]
    found = pool.jobs(f'{TOKEN} == "{token}" && {_AT_WORK}', ["ClusterId"])
    return int(found[0]["ClusterId"]) if found else None
