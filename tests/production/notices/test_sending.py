"""One notice to one address: real servers of HTTP and mail on loopback, and a sendmail."""

from __future__ import annotations

import base64
import email
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from flashsim_prod.production.notices import sending
from flashsim_prod.production.notices.sending import SendingError, send, send_firmly

TOLD = {"subject": "flashsim-prod: toy is done", "text": "toy is done\nall of µ", "event": "done"}


class Mailbox:
    """Takes all mail but that to nobody@."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    found = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv(sending.SMTP_VARIABLE, f"127.0.0.1:{port}")
    yield found
    controller.stop()


def test_a_server_gets_a_post_of_json(chat: Any) -> None:
    send(chat.url.replace("http://", "http://me:pa%3Ass@"), TOLD)
    assert chat.told == [TOLD]
    assert chat.heads[0]["Content-Type"] == "application/json"
    assert chat.paths == ["/hooks/S3CRET"]
    assert base64.b64decode(chat.heads[0]["Authorization"].split()[1]) == b"me:pa:ss"


@pytest.mark.parametrize(("code", "tries"), [(404, 1), (500, 1), (302, 1), (503, 2)])
def test_an_answer_that_is_no_success_is_an_error(chat: Any, code: int, tries: int) -> None:
    chat.answers = [code] * 3
    with pytest.raises(SendingError, match=f"answered {code}") as error:
        send_firmly(chat.url, TOLD)
    assert "S3CRET" not in str(error.value)
    assert len(chat.paths) == tries
    assert chat.told == []


def test_what_was_surely_not_taken_is_sent_again(chat: Any) -> None:
    chat.answers = [503]
    send_firmly(chat.url, TOLD)
    assert chat.told == [TOLD]


def test_a_server_that_is_not_there(chat: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SendingError, match="refused") as error:
            send(f"http://127.0.0.1:{taken.getsockname()[1]}/S3CRET", TOLD)
    assert error.value.is_sure
    assert "S3CRET" not in str(error.value)


def test_a_server_that_says_a_letter_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sending, "PATIENCE_S", 0.5)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with server.accept()[0] as connection:
                while not ended.wait(0.05):
                    connection.send(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(SendingError, match="no answer within"):
            send(f"http://127.0.0.1:{server.getsockname()[1]}/", TOLD)
        ended.set()
        thread.join()


def test_a_mail(mailbox: Mailbox) -> None:
    send("mailto:a@example.org,b@example.org", TOLD)
    ((to, mail),) = mailbox.mails
    assert to == ["a@example.org", "b@example.org"]
    assert mail["Subject"] == TOLD["subject"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_payload(decode=True).decode().splitlines()[:2] == ["toy is done", "all of µ"]


def test_a_mail_that_is_refused(mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SendingError, match=r"refused nobody@example\.org"):
        send("mailto:nobody@example.org", TOLD)
    send("mailto:a@example.org,nobody@example.org", TOLD)
    assert "refused nobody@example.org" in caplog.text
    assert [to for to, _ in mailbox.mails] == [["a@example.org"]]


def test_no_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv(sending.SMTP_VARIABLE, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SendingError, match="refused"):
            send("mailto:a@example.org", TOLD)
    monkeypatch.setenv(sending.SMTP_VARIABLE, "host:port")
    with pytest.raises(SendingError, match="HOST:PORT"):
        send("mailto:a@example.org", TOLD)


@pytest.fixture
def sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sendmail: recipients are its arguments, the mail its input; a lone dot would be no end with -i."""
    monkeypatch.delenv(sending.SMTP_VARIABLE, raising=False)
    program = tmp_path / "sendmail"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/mail\n'
        f"[ -e {tmp_path}/broken ] && {{ echo queue is full >&2; exit 75; }}\nexit 0\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_machine_s_sendmail(sendmail: Path) -> None:
    send("mailto:a@example.org,b@example.org", TOLD)
    assert (sendmail / "arguments").read_text() == "-i a@example.org b@example.org\n"
    mail = email.message_from_bytes((sendmail / "mail").read_bytes())
    assert (mail["To"], mail["Subject"]) == ("a@example.org, b@example.org", TOLD["subject"])
    (sendmail / "broken").touch()
    with pytest.raises(SendingError, match="exit code 75: queue is full"):
        send("mailto:a@example.org", TOLD)
