"""Sending one notice to one address: a POST of JSON, or an e-mail. What goes wrong never says the address."""

from __future__ import annotations

import base64
import getpass
import http.client
import logging
import os
import shutil
import smtplib
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from flashsim_prod import __version__
from flashsim_prod.core.notices.targets import MAIL, mailboxes
from flashsim_prod.files import json_text

log = logging.getLogger("flashsim_prod.notices")

#: HOST or HOST:PORT of the mail server; without it the machine's sendmail, or else port 25 of this machine
SMTP_VARIABLE = "FLASHSIM_PROD_SMTP"
#: between two words of a server [s]
TIMEOUT_S = 10.0
#: for all of a notice [s]
PATIENCE_S = 20.0
#: a server that surely took nothing is asked once more [s]
_AGAIN_AFTER_S = 2.0
#: answers of servers that are busy
_BUSY = (429, 502, 503)
#: where sendmail is on machines whose users do not have it in PATH
_SENDMAIL_FOLDERS = ("/usr/sbin", "/usr/lib")
_SMTP_PORT = 25


class SendingError(Exception):
    """A notice could not be sent; says why, and not where to.

    Attributes
    ----------
    is_sure : bool
        Whether it surely was not taken, so that another try tells nothing twice.
    """

    def __init__(self, said: str, *, is_sure: bool = False) -> None:
        super().__init__(said)
        self.is_sure = is_sure


_FAILURES = (
    SendingError,
    OSError,
    ValueError,
    http.client.HTTPException,
    smtplib.SMTPException,
    subprocess.SubprocessError,
)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: a POST would arrive there as a GET, without its contents."""

    def redirect_request(self, *arguments: Any, **_: Any) -> None:
        return None


def send_firmly(target: str, told: dict[str, Any]) -> None:
    """As `send`, once more if it surely was not taken."""
    try:
        send(target, told)
    except SendingError as error:
        if not error.is_sure:
            raise
        time.sleep(_AGAIN_AFTER_S)
        send(target, told)


def send(target: str, told: dict[str, Any]) -> None:
    """Send `told`, whose ``subject`` and ``text`` are what people read, to `target`.

    Raises
    ------
    SendingError
        If it was not taken, or nobody knows, after `PATIENCE_S` at the latest.
    """
    wrong: list[BaseException] = []
    sent = threading.Event()

    def do() -> None:
        try:
            _send(target, told)
            sent.set()
        except _FAILURES as error:
            wrong.append(error)

    # no time-out of a library holds for a server that says a letter every few seconds
    thread = threading.Thread(target=do, daemon=True, name="notice")
    thread.start()
    thread.join(PATIENCE_S)
    if thread.is_alive():
        raise SendingError(f"no answer within {PATIENCE_S:g} s")
    if wrong:
        raise (
            wrong[0]
            if isinstance(wrong[0], SendingError)
            else SendingError(_cause(wrong[0]), is_sure=_is_refused(wrong[0]))
        )
    if not sent.is_set():
        raise SendingError("it ended in a way that nobody foresaw")


def _send(target: str, told: dict[str, Any]) -> None:
    if target.startswith(MAIL):
        _mail(mailboxes(target), told)
    else:
        _post(target, told)


def _post(target: str, told: dict[str, Any]) -> None:
    split = urlsplit(target)
    headers = {"Content-Type": "application/json", "User-Agent": f"flashsim-prod/{__version__}"}
    if split.username is not None:
        user = f"{unquote(split.username)}:{unquote(split.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        split = split._replace(netloc=split.netloc.rpartition("@")[2])
    request = urllib.request.Request(
        urlunsplit(split), data=json_text(told).encode(), headers=headers, method="POST"
    )
    opener = urllib.request.build_opener(_StayHere)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        more = "; give the address that it leads to" if 300 <= error.code < 400 else ""
        said = f"the server answered {error.code} {error.reason}{more}"
        raise SendingError(said, is_sure=error.code in _BUSY) from error


def _mail(to: tuple[str, ...], told: dict[str, Any]) -> None:
    message = EmailMessage()
    message["Subject"] = " ".join(str(told["subject"]).split())
    message["From"] = f"{_user()}@{socket.getfqdn()}"
    message["To"] = ", ".join(to)
    # so that no answering machine answers
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{told['text']}\n\n{json_text(told)}\n")
    server = os.environ.get(SMTP_VARIABLE)
    program = None if server else _sendmail()
    if program is None:
        host, port = _server(server or "localhost")
        with smtplib.SMTP(host, port, timeout=TIMEOUT_S) as smtp:
            refused = smtp.send_message(message)
        if refused:
            # the others have it, and would get it again
            log.warning("the mail server refused %s", ", ".join(refused))
        return
    done = subprocess.run(
        [program, "-i", *to],
        input=message.as_bytes(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        raise SendingError(f"{program} ended with exit code {done.returncode}{said and ': '}{said}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # a user without a name, as in containers
        return "flashsim-prod"


def _sendmail() -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SENDMAIL_FOLDERS])
    return shutil.which("sendmail", path=path)


def _server(name: str) -> tuple[str, int]:
    split = urlsplit(f"//{name}")
    try:
        port = split.port or _SMTP_PORT
    except ValueError as error:
        raise SendingError(f"${SMTP_VARIABLE} is not HOST or HOST:PORT") from error
    if not split.hostname or split.path:
        raise SendingError(f"${SMTP_VARIABLE} is not HOST or HOST:PORT")
    return split.hostname, port


def _is_refused(error: BaseException) -> bool:
    """Whether there was no connection at all."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, ConnectionRefusedError | socket.gaierror)


def _cause(error: BaseException) -> str:
    """In words, from which no address can be read."""
    if isinstance(error, urllib.error.URLError):
        reason = error.reason
        return reason.strerror or type(reason).__name__ if isinstance(reason, OSError) else str(reason)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the mail server refused {', '.join(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__


def _text(said: str | bytes) -> str:
    return " ".join((said.decode(errors="replace") if isinstance(said, bytes) else said).split())
