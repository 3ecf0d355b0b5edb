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
_COUNTED = re.compile(r"countMatches\([^()]*\)")
#: what a part of the requirements is about, for people, with what the job asks for
_ABOUT = (
    (re.compile(r"RequestMemory"), "memory of {RequestMemory} MB"),
    (re.compile(r"RequestCpus"), "{RequestCpus} cores"),
    (re.compile(r"RequestDisk"), "scratch space of {RequestDisk} kB"),
    (re.compile(r"RequireGPUs|RequestGPUs|AvailableGPUs"), "{RequestGPUs} GPU(s) with {RequireGPUs}"),
    (re.compile(r"FileSystemDomain"), "the shared file system {FileSystemDomain}"),
    (re.compile(r"MachineAttrMachine"), "another machine than those it failed on"),
    (re.compile(r"HasFileTransferPluginMethods"), "a file transfer plugin for root://"),
    (re.compile(r"HasFileTransfer"), "file transfer"),
    (re.compile(r"HasContainer|HasSingularity|HasDocker"), "containers"),
)


def matches(job: Any, machines: Iterable[Any]) -> tuple[int, int]:
    """How many machines fit the job and want it, if they were at rest and as they are now."""
    both = [(_fits(job, _at_rest(machine)), _fits(job, machine)) for machine in machines]
    return sum(fit for fit, _ in both), sum(free for _, free in both)


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
    if any(_fits(job, machine) for machine in rested):
        return []
    refused: Counter[str] = Counter()
    for part in _parts(job):
        refused[_said(part, job)] += sum(not _holds(part, job, machine) for machine in rested)
    unwilling = sum(not job.matches(machine) for machine in rested)
    lines = [f"{n} of {len(rested)} machines lack {what}" for what, n in refused.most_common() if n]
    return lines + ([f"{unwilling} of {len(rested)} machines do not want it"] if unwilling else [])


def _fits(job: Any, machine: Any) -> bool:
    """Whether each wants the other."""
    return job.matches(machine) and all(_holds(part, job, machine) for part in _parts(job))


def _holds(part: Any, job: Any, machine: Any) -> bool:
    """Whether a part of the requirements is true of a machine.

    GPUs are counted here and their number put in: the bindings lose what stands around countMatches when they
    evaluate it (seen in 25.14.1), and with it their own symmetricMatch.
    """
    text = _COUNTED.sub(lambda _: str(_good_gpus(job, machine)), str(part))
    return part.__class__(text).eval(job, machine) is True


def _good_gpus(job: Any, machine: Any) -> int:
    """The machine's available GPUs that have the properties wished for."""
    named = (
        re.findall(r"GPUs_\w+", str(machine.lookup("AvailableGPUs"))) if "AvailableGPUs" in machine else []
    )
    if "RequireGPUs" not in job:
        return len(named)
    wish = job.lookup("RequireGPUs").__class__(_gpu_wish(job))
    return sum(wish.eval(machine.eval(name)) is True for name in named if name in machine)


def _gpu_wish(job: Any) -> str:
    """What the job asks of a GPU, with its own figures (GPUsMinMemory and the like) put in."""

    def figure(name: re.Match[str]) -> str:
        return str(job.eval(name[0])) if name[0] in job else name[0]

    return re.sub(r"\bGPUs\w+", figure, str(job.lookup("RequireGPUs")))


def _at_rest(machine: Any) -> Any:
    """The machine as if no job ran on it."""
    rested = machine.__class__(str(machine))
    for free, whole in _WHOLE.items():
        if whole in machine:
            rested[free] = machine[whole]
    # each GPU is an ad of its own; names that begin alike tell what all have in common
    named = [name for name in rested if name.startswith("GPUs_")]
    gpus = [name for name in named if isinstance(rested.eval(name), rested.__class__)]
    rested["AvailableGPUs"] = rested.lookup("Requirements").__class__(f"{{{', '.join(gpus)}}}")
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
            return _gpu_wish(self._job) if name in self._job else "no further wishes"
        return str(self._job.eval(name)) if name in self._job else "?"
