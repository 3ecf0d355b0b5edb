"""The real ipmitool against a BMC that fails in every known way: a clear line, never a wrong figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bmc_sim import Bmc, PowerModel, Realism
from machine import FastClock

from flashsim_prod.energy.measuring.response import tolerated_interval
from flashsim_prod.energy.meters import ipmi
from flashsim_prod.energy.meters.base import require_readings
from flashsim_prod.energy.meters.ipmi import BmcAddress, IpmiMeter
from flashsim_prod.errors import MeasurementError, NodeError, RequestError

PEERS = Path(__file__).resolve().parents[2] / "peers"
Served = Callable[[Bmc], None]


class NoWait:
    def now_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass


def meter_on(served: Served, **realism: object) -> IpmiMeter:
    """A meter in front of a BMC at a constant 160 W."""
    model = PowerModel(lambda _: 160.0, Realism(**realism))  # type: ignore[arg-type]
    served(Bmc(model))
    return IpmiMeter(BmcAddress(interface="dummy"))


def test_a_good_reading_has_no_remark(served: Served) -> None:
    (reading,) = meter_on(served).read()
    assert (reading.power_w, reading.energy_j, reading.trouble) == (160.0, None, None)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("nodcmi", "does not offer DCMI power readings (c1)"),
        ("badcc", "Command not supported in present state (d5)"),
        ("busy", "is busy (c0)"),
        ("unspecified", "refuses to be asked this often (ff)"),
        ("zero", "0 W, which a running server never draws"),
        ("max", "65535 W, which is no power of a server"),
        ("short", "truncated or contradicts itself"),
        ("badgroup", "A valid DCMI command was not returned"),
    ],
)
def test_a_fault_is_a_line_and_no_number(served: Served, fault: str, line: str) -> None:
    meter = meter_on(served, fault=fault)
    (reading,) = meter.read()
    assert reading.is_missing
    assert reading.trouble is not None
    assert line in reading.trouble
    with pytest.raises(NodeError, match=r"^ipmi: ") as raised:
        require_readings(meter, NoWait())
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_bmc_that_keeps_no_minimum_and_maximum_is_usable(served: Served) -> None:
    (reading,) = meter_on(served, fault="nominmax").read()
    assert (reading.power_w, reading.trouble) == (160.0, None)


def test_the_words_of_a_bmc_that_keeps_no_minimum_and_maximum() -> None:
    text = (
        "Instantaneous power reading:  124 Watts\nMinimum during sampling period:  0 Watts\n"
        "Maximum during sampling period:  0 Watts\nPower reading state is:   "
    )
    assert ipmi.parse_reply(text + "activated").power_w == 124
    period = "IPMI timestamp:  S+ 00:00:00    Sampling period:  00000005 Seconds.\n"
    assert ipmi.parse_reply(period + text + "deactivated").power_w == 124
    # nothing after the watts: cut off
    assert ipmi.parse_reply(text + "deactivated").is_missing
    assert ipmi.parse_reply(text.replace("  0 Watts", "  9 Watts") + "activated").is_missing


@pytest.mark.parametrize("fault", ["deactivated", "openbmc"])
def test_deactivated_with_good_watts_is_only_a_remark(served: Served, fault: str) -> None:
    (reading,) = meter_on(served, fault=fault).read()
    assert reading.power_w == 160
    assert reading.trouble is not None
    assert "deactivated" in reading.trouble


def test_a_silent_bmc_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipmi, "TIMEOUT_S", 0.5)
    (reading,) = meter_on(served, fault="drop").read()
    assert reading.is_missing
    assert reading.trouble == "the BMC gave no answer within 0.5 s"


def test_a_bmc_that_must_not_be_asked_often_is_asked_less_often(served: Served) -> None:
    clock = FastClock()
    served(Bmc(PowerModel(lambda _: 160.0, Realism(rate_limit_s=0.7)), clock.now_s))
    assert tolerated_interval([IpmiMeter(BmcAddress(interface="dummy"))], clock) == 1.0


def test_a_bmc_that_always_refuses_is_given_up(served: Served) -> None:
    with pytest.raises(MeasurementError, match="refuses to be asked this often"):
        tolerated_interval([meter_on(served, fault="unspecified")], NoWait())


def test_no_device_in_this_machine(need: Callable[[str], None]) -> None:
    need("ipmitool")
    if Path("/dev/ipmi0").exists():
        pytest.skip("this machine has a BMC")
    with pytest.raises(NodeError, match="/dev/ipmi0"):
        require_readings(IpmiMeter(), NoWait())


def test_ipmitool_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NodeError, match="ipmitool is not on PATH"):
        IpmiMeter()


@pytest.fixture
def lan(need: Callable[[str], None]) -> Iterator[BmcAddress]:
    """A BMC on the network."""
    need("ipmitool")
    command = [
        sys.executable,
        str(PEERS / "bmc_sim.py"),
        "--port",
        "0",
        "--watts",
        "200",
        "--password",
        "right",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield BmcAddress(host="127.0.0.1", port=port, user="admin")
        process.terminate()


def test_over_the_network_with_the_password_from_the_environment(
    lan: BmcAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPMI_PASSWORD", "right")
    meter = IpmiMeter(lan)
    assert meter.read()[0].power_w == 200
    assert not any("right" in word for word in meter._command)
    monkeypatch.setenv("IPMI_PASSWORD", "wrong")
    (reading,) = meter.read()
    assert reading.is_missing
    assert "wrong user or password" in str(reading.trouble)


def test_nobody_at_the_address(need: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    need("ipmitool")
    monkeypatch.setenv("IPMI_PASSWORD", "right")
    (reading,) = IpmiMeter(BmcAddress(host="127.0.0.1", port=9, user="admin")).read()
    assert "nobody answers" in str(reading.trouble)


def test_the_password_must_be_in_the_environment(
    need: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need("ipmitool")
    for name in ipmi.PASSWORD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not set(ipmi.PASSWORD_VARIABLES) & set(os.environ)
    with pytest.raises(RequestError, match="set IPMI_PASSWORD"):
        IpmiMeter(BmcAddress(host="127.0.0.1", user="admin"))
