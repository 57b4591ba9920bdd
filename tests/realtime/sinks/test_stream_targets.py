"""Where streams may go: what is public, what the operator lists, and each name looked up once."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.errors import BadRequestError, SettingsError
from lipstream.realtime.rtc.peer_networks import is_public
from lipstream.realtime.settings import LOOPBACK, Settings, read_settings
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.sinks.stream_targets import StreamTargets, stream_targets

INWARD = (
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::",
    "2001:0:a00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
)  # fmt: skip
PUBLIC = ("8.8.8.8", "203.0.114.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")


@pytest.mark.parametrize("text", INWARD)
def test_addresses_of_inner_networks_are_not_public_in_any_form(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_an_embedded_inner_address_is_refused_and_a_listed_one_allowed(inner: ipaddress.IPv4Address) -> None:
    public = StreamAddress.parse("https://8.8.8.8/whip")
    listed = StreamTargets.of(["10.0.0.0/8", "127.0.0.0/8", "sfu.example"])
    for text in (str(inner), f"::ffff:{inner}"):
        assert not StreamTargets().allows_media(public, ["8.8.8.8"], text)
        assert listed.allows_media(public, ["8.8.8.8"], text)
    for url, host in (("https://sfu.example/whip", "8.8.8.8"), ("https://other.example/whip", "10.1.1.1")):
        assert listed.allows_media(StreamAddress.parse(url), [host], "192.168.1.1")
    assert not listed.allows_media(public, ["8.8.8.8"], "192.168.1.1")
    assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(inner)))
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) + (int(inner) << 80)))


@pytest.mark.parametrize(
    ("url", "listed", "fault"),
    [
        ("rtmp://10.0.0.1/app/key", (), "may not go to this address"),
        ("rtmp://10.0.0.1/app/key", ("10.0.0.0/8",), ""),
        ("srt://[::ffff:127.0.0.1]:9000", (), "may not go to this address"),
        ("https://169.254.169.254/whip", ("10.0.0.0/8",), "may not go to this address"),
        ("https://8.8.8.8/whip", (), ""),
        ("http://8.8.8.8/whip", (), "needs https"),
        ("http://8.8.8.8/whip", ("8.8.8.8",), ""),
        ("rtmp://8.8.8.8/app/key", (), ""),
    ],
)
def test_an_address_is_checked_at_once(url: str, listed: tuple[str, ...], fault: str) -> None:
    targets, address = StreamTargets.of(listed), StreamAddress.parse(url)
    if fault:
        with pytest.raises(BadRequestError, match=fault):
            targets.check(address)
    else:
        targets.check(address)


def test_an_endpoint_of_the_settings_allows_its_origin_alone() -> None:
    targets = stream_targets(Settings(push=("http://127.0.0.1:9/whip", "rtmp://10.0.0.1/app/key"), push_to=()))
    targets.check(StreamAddress.parse("http://127.0.0.1:9/other"))
    targets.check(StreamAddress.parse("rtmp://10.0.0.1:1935/app/other"))
    for url in (
        "http://127.0.0.1:10/whip",
        "http://127.0.0.2:9/whip",
        "rtmp://10.0.0.1:1936/app/key",
        "srt://10.0.0.1:9",
    ):
        with pytest.raises(BadRequestError):
            targets.check(StreamAddress.parse(url))


async def test_a_name_is_looked_up_once_and_only_allowed_addresses_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        found = {"mixed.example": ("127.0.0.1", "8.8.8.8"), "inner.example": ("10.0.0.1",)}[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    targets = StreamTargets()
    assert await targets.resolve(StreamAddress.parse("rtmp://mixed.example/app/key")) == ["8.8.8.8"]
    with pytest.raises(StreamConnectionError, match="may not go to this address"):
        await targets.resolve(StreamAddress.parse("rtmp://inner.example/app/key"))
    with pytest.raises(StreamConnectionError, match=r"may not go|needs https"):
        await targets.resolve(StreamAddress.parse("http://mixed.example/whip"))
    assert looked_up == ["mixed.example", "inner.example", "mixed.example"]
    listed = StreamTargets.of(["Inner.Example."])
    assert await listed.resolve(StreamAddress.parse("rtmp://inner.example/app/key")) == ["10.0.0.1"]


@pytest.mark.parametrize("host", ["2130706433", "localhost", "0x7f.1", "127.1"])
async def test_other_ways_to_write_loopback_lead_nowhere(host: str) -> None:
    with pytest.raises((StreamConnectionError, OSError)):
        await StreamTargets().resolve(StreamAddress.parse(f"https://{host}/whip"))


def test_loopback_is_open_only_where_all_callers_are_on_this_machine(tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k" * 32)
    assert Settings().streamed_to == LOOPBACK
    assert Settings(secret_file=keys).streamed_to == ()
    assert Settings(host="0.0.0.0", insecure=True).streamed_to == ()
    assert Settings(push_to=()).streamed_to == ()
    assert read_settings(["--push-to", "sfu.example, 10.0.0.0/8,::1"], {}).streamed_to == (
        "sfu.example",
        "10.0.0.0/8",
        "::1",
    )
    for wrong in ("10.0.0.0/33", "https://a.example", "a b"):
        with pytest.raises(SettingsError, match="push_to"):
            read_settings(["--push-to", wrong], {})
