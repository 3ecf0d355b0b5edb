"""Slurm as a batch system: a job for each node, tied together by dependencies.

The jobs of a submission are found again by their names, which begin with its token; how they ended is in
files that they leave beside the script.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from flashsim_minislurm.section import SlurmRules
from flashsim_prod import resources
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.states import JobState
from flashsim_prod.errors import ConfigError, FlashSimError, StorageError
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.grid.batch.base import (
    BatchSystem,
    Finding,
    Node,
    NodeKey,
    NodeStatus,
    Poll,
    Receipt,
    Submission,
)

SCRIPT = "job.sh"
STATES = {"PENDING": JobState.IDLE, "RUNNING": JobState.RUNNING, "COMPLETING": JobState.RUNNING}


class SlurmBatch(BatchSystem):
    """Hands requests to the cluster of a site with a section ``minislurm``."""

    def render(self, submission: Submission) -> None:
        environment = resources.templates("minislurm", are_pages=False)
        environment.filters["shell"] = shlex.quote
        rules = self._site.rules_as(SlurmRules)
        python = rules.python.replace("{python}", sys.executable)
        values = {"site": self._site, "rules": rules, "python": python, "to": submission}
        text = environment.get_template(f"{SCRIPT}.j2").render(values)
        write_whole(submission.folder / SCRIPT, text, mode=0o755)

    def submit(self, submission: Submission) -> Receipt:
        return Receipt(self._hand_over(submission, {})[0])

    def complete(self, submission: Submission) -> tuple[str, ...]:
        queued = {key: number for key, (number, _) in self._queued(submission).items()}
        return tuple(f"handed over as well: job {number}" for number in self._hand_over(submission, queued))

    def find(self, submission: Submission) -> str | None:
        queued = [number for number, _ in self._queued(submission).values()]
        ended = [node for node in submission.nodes if _log(submission, node.key).exists()]
        return min(queued, key=int) if queued else "ended" if ended else None

    def poll(self, submission: Submission, batch_id: str) -> Poll:
        # first the queue: what leaves it meanwhile has left its exit code
        queued = self._queued(submission)
        nodes = {node.key: self._status(submission, node.key) for node in submission.nodes}
        nodes |= {
            key: NodeStatus(key, STATES.get(state, JobState.IDLE)) for key, (_, state) in queued.items()
        }
        return Poll(bool(queued), nodes)

    def cancel(self, submission: Submission, batch_id: str) -> None:
        numbers = [number for number, _ in self._queued(submission).values()]
        if numbers:
            _said("scancel", *numbers)

    def check(self) -> Iterator[Finding]:
        try:
            yield Finding(
                "slurm", True, f"{len(_said('squeue', '--noheader').splitlines())} jobs in the queue"
            )
        except FlashSimError as error:
            yield Finding("slurm", False, str(error))

    def _hand_over(self, submission: Submission, known: dict[NodeKey, str]) -> list[str]:
        """Hand over what is neither done nor queued nor was started, parents first; Slurm's numbers."""
        numbers = dict(known)
        for node in submission.nodes:
            if node.key not in submission.done | numbers.keys() and not _log(submission, node.key).exists():
                numbers[node.key] = _said("sbatch", *_options(submission, node, numbers))
        return [number for key, number in numbers.items() if key not in known]

    def _queued(self, submission: Submission) -> dict[NodeKey, tuple[str, str]]:
        """Slurm's numbers and words for the jobs that it still has."""
        lines = [line.split("|") for line in _said("squeue", "--noheader", "--format=%i|%T|%j").splitlines()]
        keys = {_name(submission, node.key): node.key for node in submission.nodes}
        return {keys[name]: (number, state) for number, state, name in lines if name in keys}

    def _status(self, submission: Submission, key: NodeKey) -> NodeStatus:
        """Where a job stands that Slurm has no more."""
        try:
            code = int(read_text(submission.folder / f"{key.stage}_{key.index}.{submission.number}.exit"))
        except (OSError, ValueError):
            is_done, was_started = key in submission.done, _log(submission, key).exists()
            state = JobState.DONE if is_done else JobState.FAILED if was_started else JobState.IDLE
            return NodeStatus(key, state, reason="ended by Slurm" if state is JobState.FAILED else None)
        return NodeStatus(key, JobState.FAILED if code else JobState.DONE, code)


def _options(submission: Submission, node: Node, numbers: dict[NodeKey, str]) -> list[str]:
    before = [numbers[key] for key in node.parents if key in numbers]
    return [
        *("--parsable", f"--job-name={_name(submission, node.key)}"),
        f"--output={_log(submission, node.key)}",
        *(["--kill-on-invalid-dep=yes", f"--dependency=afterok:{':'.join(before)}"] if before else []),
        *(str(submission.folder / SCRIPT), str(node.key.stage), str(node.key.index)),
    ]


def _name(submission: Submission, key: NodeKey) -> str:
    return f"{submission.token}.{key.stage}.{key.index}"


def _log(submission: Submission, key: NodeKey) -> Path:
    folder = RequestFolder(submission.request_file.parent)
    return folder.log(key.stage, key.index, submission.number)


def _said(program: str, *words: str) -> str:
    """What a program of Slurm prints."""
    try:
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env=os.environ)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no '{program}' on this machine; go to a login node of the cluster"
        ) from None
    if done.returncode:
        raise StorageError(f"{program}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout.strip()
