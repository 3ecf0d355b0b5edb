"""Why a job is matched by no machine: which part of its requirements turns the machines away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

#: what a slot that is cut up for jobs has in all; what is free of it is under the name without Total
_WHOLE = {
    "Cpus": "TotalSlotCpus",
    "Memory": "TotalSlotMemory",
    "Disk": "TotalSlotDisk",
    "GPUs": "TotalSlotGPUs",
}
#: what a part of the requirements is about, for people, with what the job asks for
_ABOUT = (
    (re.compile(r"RequestMemory"), "memory of {RequestMemory} MB"),
    (re.compile(r"RequestCpus"), "{RequestCpus} cores"),
    (re.compile(r"RequestDisk"), "scratch space of {RequestDisk} kB"),
    (re.compile(r"RequireGPUs|RequestGPUs|AvailableGPUs"), "{RequestGPUs} GPU(s) with {RequireGPUs}"),
    (re.compile(r"FileSystemDomain"), "the shared file system {FileSystemDomain}"),
    (re.compile(r"MachineAttrMachine"), "another machine than those it failed on"),
    (re.compile(r"HasFileTransfer"), "file transfer"),
    (re.compile(r"HasContainer|HasSingularity|HasDocker"), "containers"),
)


def matches(job: Any, machines: Iterable[Any]) -> int:
    """How many machines fit the job and want it, busy or not."""
    return sum(job.symmetricMatch(_at_rest(machine)) for machine in machines)


def reasons(job: Any, machines: Sequence[Any]) -> list[str]:
    """One line for each part of the job's requirements that turns some machines away, the worst first.

    Empty if some machine would take the job: then it only waits for its turn.

    Parameters
    ----------
    job : classad2.ClassAd
        All of the job's attributes.
    machines : sequence of classad2.ClassAd
        All of the machines'.
    """
    rested = [_at_rest(machine) for machine in machines]
    if not rested:
        return ["the pool has no machines at all"]
    if any(job.symmetricMatch(machine) for machine in rested):
        return []
    refused: Counter[str] = Counter()
    for part in _parts(job):
        refused[_said(part, job)] += sum(part.eval(job, machine) is not True for machine in rested)
    unwilling = sum(not machine.matches(job) for machine in rested)
    lines = [f"{n} of {len(rested)} machines lack {what}" for what, n in refused.most_common() if n]
    return lines + ([f"{unwilling} of {len(rested)} machines do not want it"] if unwilling else [])


def _at_rest(machine: Any) -> Any:
    """The machine as if no job ran on it."""
    rested = machine.__class__(machine)
    for free, whole in _WHOLE.items():
        if whole in machine:
            rested[free] = machine[whole]
    # of GPUs in use only names are told, not their properties: those that are left stand for them
    rested["State"], rested["Activity"] = "Unclaimed", "Idle"
    return rested


def _parts(job: Any) -> Iterator[Any]:
    """The requirements, cut at every && that stands in no brackets."""
    tree = job.lookup("Requirements")
    for text in _conjuncts(str(tree)):
        yield tree.__class__(text)


def _conjuncts(text: str) -> list[str]:
    text = _bare(text)
    depth, quoted, start, parts = 0, False, 0, []
    for place, sign in enumerate(text):
        if sign == '"' and text[place - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (sign in "([{") - (sign in ")]}")
            if depth == 0 and text.startswith("&&", place):
                parts.append(text[start:place])
                start = place + 2
    if not parts:
        return [text]
    return [inner for part in (*parts, text[start:]) for inner in _conjuncts(part.strip())]


def _bare(text: str) -> str:
    """Without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for place, sign in enumerate(text):
            depth += (sign == "(") - (sign == ")")
            if depth == 0 and place < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def _said(part: Any, job: Any) -> str:
    text = str(part)
    for pattern, words in _ABOUT:
        if pattern.search(text):
            return words.format_map(_Known(job))
    return f"what is asked for by {text}"


class _Known(dict[str, str]):
    """Attributes of a job as text, evaluated where that can be done."""

    def __init__(self, job: Any) -> None:
        super().__init__()
        self._job = job

    def __missing__(self, name: str) -> str:
        if name == "RequireGPUs":
            return str(self._job.lookup(name)) if name in self._job else "no further wishes"
        return str(self._job.eval(name)) if name in self._job else "?"
