"""HTCondor as a batch system: one DAG for each submission of a request."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.core.sizes import format_duration
from flashsim_prod.core.states import JobState
from flashsim_prod.errors import ConfigError, FlashSimError, StateError
from flashsim_prod.grid.batch.base import (
    Finding,
    NodeKey,
    NodeStatus,
    Poll,
    Receipt,
    Submission,
    Training,
    TrainingBatch,
)
from flashsim_prod.grid.batch.htcondor.client import Ad, Pool
from flashsim_prod.grid.batch.htcondor.credentials import check_proxy
from flashsim_prod.grid.batch.htcondor.dagman_end import DagmanEnd, dagman_end, removal
from flashsim_prod.grid.batch.htcondor.node_status import (
    NOT_SUBMITTED,
    DagStatus,
    NodeLine,
    read_status,
    refusals,
)
from flashsim_prod.grid.batch.htcondor.render import DAG, STATUS, make_targets, node_key, render
from flashsim_prod.grid.batch.htcondor.section import HTCondorRules
from flashsim_prod.grid.batch.htcondor.why_idle import matches, reasons

#: what is asked of each job in the queue
_ASKED = (
    "DAGNodeName",
    "JobStatus",
    "EnteredCurrentStatus",
    "HoldReason",
    "RemoveReason",
    "NumJobStarts",
    "RemoteHost",
    "LastRemoteHost",
    "ExitCode",
    "ClusterId",
)
_LEFT = (
    "DAGNodeName",
    "JobStatus",
    "ExitCode",
    "ExitSignal",
    "HoldReason",
    "LastHoldReason",
    "RemoveReason",
    "LastRemoteHost",
)
#: HTCondor's numbers for where a job stands; what is being removed or has just ended nobody can say yet
_STATES = {
    1: JobState.IDLE,
    2: JobState.RUNNING,
    5: JobState.HELD,
    6: JobState.RUNNING,  # its output is on the way
    7: JobState.IDLE,  # suspended
}
_REMOVED, _COMPLETED = 3, 4
#: in the reason of a removal by the rules that the job was submitted with
_OWN_POLICY = "PeriodicRemove expression"
#: a job that has been idle for so long is looked into [s]
_PATIENCE_S = 20
#: by how much clocks of this machine and of the schedd may differ [s]
_CLOCKS_S = 300
#: reasons shown, at most
_SHOWN = 3
#: attribute of DAGMan's own job that a submission is found again by
TOKEN = "FlashSimSubmission"
#: left over from an earlier DAGMan, of no use to the next
_LEFTOVERS = (".condor.sub", ".lib.out", ".lib.err", ".dagman.log", ".lock", ".metrics")


class HTCondorBatch(TrainingBatch):
    """Hands requests to an HTCondor pool.

    Parameters
    ----------
    site : Site
        One with a section ``htcondor``.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._rules = site.rules_as(HTCondorRules)

    def render(self, submission: Submission) -> None:
        render(submission, self._rules)

    def submit(self, submission: Submission) -> Receipt:
        if self._rules.proxy:
            check_proxy()
        make_targets(submission, self._rules)
        for ending in _LEFTOVERS:
            (submission.folder / f"{DAG}{ending}").unlink(missing_ok=True)
        (submission.folder / STATUS).unlink(missing_ok=True)
        throttle = self._rules.throttle
        options: dict[str, str | int] = {
            "MaxIdle": throttle.max_idle,
            "MaxJobs": throttle.max_jobs,
            "batch-name": submission.request.name,
            "include_env": "X509_USER_PROXY",
        }
        cluster = self._pool().submit_dag(submission.folder / DAG, options, {TOKEN: submission.token})
        return Receipt(str(cluster))

    def find(self, submission: Submission) -> str | None:
        if not _is_written(submission):
            return None
        mine, pool = f'{TOKEN} == "{submission.token}"', self._pool()
        found = pool.jobs(mine, ["ClusterId"])
        if not found:
            found = pool.left(mine, ["ClusterId"], since=_before_it(submission), most=1)
        if found:
            return str(found[0]["ClusterId"])
        log = submission.folder / f"{DAG}.dagman.log"
        if log.exists() and log.stat().st_mtime >= (submission.folder / DAG).stat().st_mtime:
            raise StateError(
                f"request {submission.request.name}: DAGMan wrote {log}, but "
                "neither queue nor history of the schedd know it; if it is gone for good, remove that file"
            )
        return None

    def poll(self, submission: Submission, batch_id: str) -> Poll:
        pool = self._pool()
        # first the file, then the queue: a job that ends between them is seen as gone, not as running
        status = read_status(submission.folder / STATUS)
        queued = pool.jobs(f"ClusterId == {batch_id} || DAGManJobId == {batch_id}", _ASKED)
        dagman = next((ad for ad in queued if str(ad["ClusterId"]) == batch_id), None)
        alive = dagman is not None and dagman["JobStatus"] not in (_REMOVED, _COMPLETED)
        if not alive:
            status = read_status(submission.folder / STATUS)
        left = self._left(pool, submission, batch_id, status, alive=alive)
        nodes = {key: found for key in status.nodes if (found := _of_dagman(key, status, left, alive))}
        if any(line.details == NOT_SUBMITTED for line in status.nodes.values()):
            nodes |= _refused(nodes, refusals(submission.folder / f"{DAG}.dagman.out"))
        in_queue = {key: ad for ad in queued if (key := node_key(str(ad.get("DAGNodeName", ""))))}
        for key, ad in in_queue.items():
            nodes.pop(key, None)
            if ad["JobStatus"] in _STATES:
                nodes[key] = _of_schedd(key, ad)
        if alive:
            for node in submission.nodes:
                # DAGMan has not written of it yet
                if node.key not in status.nodes and node.key not in in_queue:
                    nodes[node.key] = NodeStatus(node.key, _before(node.key, submission))
        notes = [*_own_notes(dagman, status), *_held(in_queue), *self._idle(pool, in_queue)]
        stopped = None if alive else _stopped(submission, dagman, nodes) or _unregistered(submission, status)
        return Poll(alive, nodes, tuple(notes), stopped)

    def cancel(self, submission: Submission, batch_id: str) -> None:
        # DAGMan takes its nodes along and writes a rescue file; the nodes by name in case it is gone
        mine = f"ClusterId == {batch_id} || DAGManJobId == {batch_id}"
        self._pool().remove(mine, f"flashsim-prod cancel {submission.request.name}")

    def check(self) -> Iterator[Finding]:
        try:
            pool = self._pool()
            yield Finding("schedd", True, pool.schedd_name())
            dagman = pool.setting("DAGMAN")
            yield Finding("dagman", dagman is not None, dagman or "condor_dagman is not configured")
            machines = pool.machines()
        except FlashSimError as error:
            yield Finding("pool", False, str(error))
            return
        yield Finding("pool", bool(machines), f"{len(machines)} machines or static slots")
        if self._rules.proxy:
            yield _proxy()
        yield self._negotiable(pool, machines)

    def check_software(self) -> None:
        # images on servers are opened by the nodes; paths that nodes see, a submit machine sees
        path = self._rules.software.image or self._rules.software.archive
        if path and os.path.isabs(path) and not os.path.exists(path):
            raise ConfigError(
                f"site {self._site.name}: there is no {path}, so no job could start; make one "
                "(flashsim-prod software --help), name it in a copy of the site file (htcondor.software), "
                "and say --site FILE"
            )

    def train(self, training: Training) -> tuple[int, bool]:
        from flashsim_prod.grid.batch.htcondor.training import submit_training

        return submit_training(self._site, training)

    def is_training(self, work: Path) -> bool:
        from flashsim_prod.grid.batch.htcondor.training import training_at_work

        return training_at_work(self._site, work)

    def _negotiable(self, pool: Pool, machines: list[object]) -> Finding:
        """What the negotiator would match with a simulate job right now."""
        from flashsim_prod.grid.batch.htcondor.probe import probe_job

        job = probe_job(self._site, self._rules, pool.setting("FILESYSTEM_DOMAIN"))
        fit, free = matches(job, machines)
        if not fit:
            return Finding("match", False, "no machine fits: " + "; ".join(reasons(job, machines)))
        return Finding(
            "match", True, f"{fit} of {len(machines)} machines fit a simulate job, {free} are free"
        )

    def _pool(self) -> Pool:
        return Pool(self._rules.schedd, self._rules.pool)

    def _left(
        self, pool: Pool, submission: Submission, batch_id: str, status: DagStatus, *, alive: bool
    ) -> dict[NodeKey, Ad]:
        """What the history says of jobs that DAGMan gave up, or did not see the end of."""
        seen = {line.state for line in status.nodes.values()}
        if JobState.FAILED not in seen and (alive or None not in seen):
            return {}
        # while DAGMan is at work it knows of the others itself
        which = " && (JobStatus == 3 || ExitCode =!= 0)" if alive else ""
        found = pool.left(f"DAGManJobId == {batch_id}{which}", _LEFT, since=_before_it(submission))
        # the last end of a node comes first
        return {key: ad for ad in reversed(found) if (key := node_key(str(ad.get("DAGNodeName", ""))))}

    def _idle(self, pool: Pool, in_queue: dict[NodeKey, Ad]) -> Iterator[str]:
        """How long jobs have been idle, and why those that nothing matches are."""
        idle = {key: ad for key, ad in in_queue.items() if ad["JobStatus"] == 1}
        if not idle:
            return
        since = min(ad["EnteredCurrentStatus"] for ad in idle.values())
        waited = datetime.now(UTC).timestamp() - since
        yield f"{len(idle)} idle in the queue, the longest for {format_duration(waited)}"
        machines = None
        for stage in sorted({key.stage for key in idle}):
            key, oldest = min(
                ((key, ad) for key, ad in idle.items() if key.stage == stage),
                key=lambda pair: pair[1]["EnteredCurrentStatus"],
            )
            if datetime.now(UTC).timestamp() - oldest["EnteredCurrentStatus"] < _PATIENCE_S:
                continue
            machines = pool.machines() if machines is None else machines
            found = pool.jobs(f"ClusterId == {oldest['ClusterId']}", [])
            why = reasons(found[0], machines) if found else []
            if why:
                yield f"{key} matches no machine: {'; '.join(why[:_SHOWN])}"


def _stopped(submission: Submission, dagman: Ad | None, nodes: dict[NodeKey, NodeStatus]) -> str | None:
    """Why DAGMan ended before its nodes had, if it did; nodes that were taken along are added to `nodes`."""
    if dagman is not None and dagman["JobStatus"] == _REMOVED:
        # on its way out, which its log does not tell yet
        end: DagmanEnd | None = removal(dagman.get("RemoveReason"))
    else:
        end = dagman_end(submission.folder / f"{DAG}.dagman.log")
    if end is None:
        return None
    if end.is_removal:
        for node in submission.nodes:
            # the history may be behind, and DAGMan may not have come to write of it
            nodes.setdefault(node.key, NodeStatus(node.key, _before(node.key, submission)))
        return end.reason
    ended = {found.state for found in nodes.values()}
    if end.exit_code == 0 or JobState.FAILED in ended or (nodes and ended == {JobState.DONE}):
        return None  # the end of its work, good or bad
    return f"{end.reason}; see {submission.folder / f'{DAG}.dagman.out'}"


def _unregistered(submission: Submission, status: DagStatus) -> str | None:
    """Why the registration failed at the end of the graph, in its own last words, if it did."""
    if status.register is None or status.register.state is not JobState.FAILED:
        return None
    log = submission.request_file.parent / "logs" / "register.log"
    try:
        said = [
            line
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("error: ")
        ]
    except OSError:
        said = []
    why = said[-1].removeprefix("error: ") if said else status.register.details
    return f"the registration failed: {why}"


def _of_dagman(key: NodeKey, status: DagStatus, left: dict[NodeKey, Ad], alive: bool) -> NodeStatus | None:
    """What DAGMan and the history say of a node that is not in the queue; nothing if they do not know."""
    line, ad = status.nodes[key], left.get(key)
    if line.state is JobState.FAILED:
        # why it was removed only the history says, which is sometimes a moment late
        is_told = ad is not None or line.exit_code is not None or not alive
        return _failed(key, line, ad or {}) if is_told else None
    if line.state is not None:
        return NodeStatus(key, line.state, 0 if line.state is JobState.DONE else None)
    if ad is None:
        return None
    if ad["JobStatus"] == _REMOVED:
        # together with its DAG, and not for a failure of its own
        return NodeStatus(key, JobState.IDLE)
    code = ad.get("ExitCode", -ad.get("ExitSignal", 0))
    return NodeStatus(key, JobState.FAILED if code else JobState.DONE, code)


def _refused(nodes: dict[NodeKey, NodeStatus], why: dict[NodeKey, str]) -> dict[NodeKey, NodeStatus]:
    """Those that the schedd did not take, with its reason."""
    return {
        key: replace(nodes[key], reason=f"not submitted: {said}")
        for key, said in why.items()
        if key in nodes and nodes[key].reason == NOT_SUBMITTED
    }


def _proxy() -> Finding:
    try:
        return Finding("proxy", True, check_proxy())
    except FlashSimError as error:
        return Finding("proxy", False, str(error))


def _failed(key: NodeKey, line: NodeLine, ad: Ad) -> NodeStatus:
    removed = ad.get("RemoveReason")
    if not removed or _OWN_POLICY in removed:
        # the policy only says that it has had enough of what the last hold was for
        removed = ad.get("LastHoldReason") or ad.get("HoldReason") or removed
    reason = None if line.exit_code is not None else f"removed: {removed}" if removed else line.details
    host = ad.get("LastRemoteHost")
    return NodeStatus(key, JobState.FAILED, line.exit_code, reason, host=_machine(host) if host else None)


def _of_schedd(key: NodeKey, ad: Ad) -> NodeStatus:
    host = ad.get("RemoteHost") or ad.get("LastRemoteHost")
    return NodeStatus(
        key,
        _STATES[ad["JobStatus"]],
        ad.get("ExitCode"),
        ad.get("HoldReason") if ad["JobStatus"] == 5 else None,
        datetime.fromtimestamp(ad["EnteredCurrentStatus"], UTC),
        _machine(str(host)) if host else None,
        ad.get("NumJobStarts", 0),
    )


def _is_written(submission: Submission) -> bool:
    """Whether the DAG that lies there is that of this submission: it is written before it is handed over."""
    dag = submission.folder / DAG
    return dag.is_file() and submission.token in dag.read_text(encoding="utf-8")


def _before_it(submission: Submission) -> str:
    """True of jobs that left the queue before the submission was written: so far back the history is read."""
    dag = submission.folder / DAG
    return f"EnteredCurrentStatus < {dag.stat().st_mtime - _CLOCKS_S:.0f}" if dag.exists() else "false"


def _machine(slot: str) -> str:
    return slot.rpartition("@")[2]


def _before(key: NodeKey, submission: Submission) -> JobState:
    return JobState.DONE if key in submission.done else JobState.IDLE


def _own_notes(dagman: Ad | None, status: DagStatus) -> Iterator[str]:
    if dagman is not None and dagman["JobStatus"] == 5:
        yield f"DAGMan itself is held: {dagman.get('HoldReason', 'no reason given')}"
    if dagman is not None and dagman["JobStatus"] == 1:
        yield "DAGMan itself is idle: the schedd has not started it yet"
    if status.register is not None and status.register.state is JobState.FAILED:
        yield f"the registration failed: {status.register.details}; see logs/register.log"


def _held(in_queue: dict[NodeKey, Ad]) -> Iterator[str]:
    why = Counter(
        (key.stage, " ".join(str(ad.get("HoldReason", "no reason given")).split()))
        for key, ad in in_queue.items()
        if ad["JobStatus"] == 5
    )
    for (stage, reason), number in why.most_common(_SHOWN):
        yield f"{number} {stage} held: {reason}"
