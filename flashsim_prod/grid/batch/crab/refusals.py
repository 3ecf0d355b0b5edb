"""Why the CRAB client did not do what it was told: the line that says so is seldom its last one."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: how lines begin that say what is wrong, the most telling first
_TELLING = (
    "Reason is:",
    "Server responded with:",
    "Not possible to resubmit",
    "Failure message from server:",
    "Refusing to check write permission",
    "You do not have any Rucio quota",
    "your available space is not enough",
    "Error:",
    "Unable to",
    "Success:",
    "You can use this site for Rucio-based ASO",
)
#: such lines go on until the client turns to something else
_GOES_ON = ("Server responded with:", "Not possible to resubmit")
#: lines that say nothing of the cause
_EMPTY_WORDS = re.compile(
    r"Log file is|Command \w+ failed|Error Id:|Look for more details|If you can't figure out|"
    r"Please use 'crab uploadlog'|\S+@\S+ with the crab.log|Note: You cannot write to a site"
)
#: what the server says of tasks of which it runs no job again
_NEVER = re.compile(
    r"You cannot resubmit jobs if the task is in status KILLED|Resubmission of the task is not possible since"
)
#: what the client says where no release is set up; it ends with exit code 0 then
_NO_RELEASE = re.compile(r"\$CMSSW_VERSION is not defined")
#: what it says where there is no proxy, an old one, or no certificate to make one of
_NO_PROXY = re.compile(
    r"Problems creating proxy|delegating My-proxy|not been delegated to myproxy|expiration of the proxy|"
    r"USER CERTIFICATE IS EXPIRED|[Pp]roxy (has |is )?expired|Proxy file .* not found"
)
_NO_STATUS = re.compile(r"status_cache\S* not found or corrupted|Format error in status_cache")


def reason_in(said: str) -> str:
    """Why a call failed, or how it ended, in one line."""
    lines = _lines(said)
    for beginning in _TELLING:
        for number, line in enumerate(lines):
            if line.startswith(beginning):
                whole = lines[number:] if beginning in _GOES_ON else [line]
                return _without_label(" ".join(one for one in whole if not _EMPTY_WORDS.match(one)))
    return last_line(said)


def last_line(said: str) -> str:
    """The last line that tells something."""
    told = [line for line in _lines(said) if not _EMPTY_WORDS.match(line)]
    return told[-1] if told else "it printed nothing"


def will_never_be_resubmitted(said: str) -> bool:
    """Whether the server refused to run jobs of a task again because of what the task is."""
    return bool(_NEVER.search(" ".join(_lines(said))))


def lacks_release(said: str) -> bool:
    """Whether the client did nothing because it stands in no CMSSW area."""
    return bool(_NO_RELEASE.search(said))


def lacks_proxy(said: str) -> bool:
    """Whether the client had no credentials to call the server with."""
    return bool(_NO_PROXY.search(" ".join(_lines(said))))


def has_no_status(said: str) -> bool:
    """Whether the server answered, but the scheduler's file of the jobs' states was not to be had."""
    return bool(_NO_STATUS.search(" ".join(_lines(said))))


def _lines(said: str) -> list[str]:
    stripped = (_COLOUR.sub("", line).strip() for line in said.splitlines())
    return [line for line in stripped if line]


def _without_label(line: str) -> str:
    return line.removeprefix("Reason is:").strip()
