"""Where webhooks may go, and their secrets."""

from __future__ import annotations

import base64
import ipaddress

import pytest

from contract.errors import SettingsError
from contract.settings import Settings
from contract.work.webhooks import AllowedTargets, secrets_in, target


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example.org/a?b=c", "hooks.example.org", 443, "/a?b=c"),
        ("http://Example.org", "example.org", 80, "/"),
        ("https://example.org.:8443/x#part", "example.org.", 8443, "/x"),
        ("https://[2606:4700::1111]:444/", "2606:4700::1111", 444, "/"),
    ],
)
def test_a_url_has_its_parts(url: str, host: str, port: int, path: str) -> None:
    parts = target(url)
    assert (parts.host, parts.port, parts.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org", "https://", "https:///x", "https://user:word@example.org/"),
        *("https://example.org:0/", "https://example.org:99999/", "https://exa mple.org/", "https://ex\u00e4mple.org/"),
        *("http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://127.0.0.1.1/"),
        *("https://[::1/", "https://-x.org/", "https://example.org/\r\nX: 1", "https://" + "a" * 2050),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host"):
        target(url)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1"),
        *("192.0.0.8", "192.0.0.10", "192.88.99.1", "fec0::1", "3fff::1", "3fff:fff::1", "5f00::1", "64:ff9b:1::1"),
        *("0.0.0.0", "::ffff:192.0.0.8", "64:ff9b::c058:6301", "2002:c000:8::"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "ff02::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    ip = ipaddress.ip_address(address)
    assert not AllowedTargets().allow("hooks.example.org", ip)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValueError, match=r"is not a public address.*WEBHOOK_ALLOW"):
        AllowedTargets().check(target(f"http://{host}/"))


def test_public_addresses_are_allowed() -> None:
    for address in ("93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"):
        assert AllowedTargets().allow("hooks.example.org", ipaddress.ip_address(address))


def test_an_operator_can_allow_hosts_addresses_and_networks() -> None:
    allowed = AllowedTargets(["hooks.internal", "10.1.0.0/16", "::1"])
    private = ipaddress.ip_address("192.168.0.7")
    assert allowed.allow("hooks.internal", private) and not allowed.allow("other.internal", private)
    for address, is_allowed in (("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("::1", True), ("10.2.0.1", False)):
        assert allowed.allow("x", ipaddress.ip_address(address)) is is_allowed
    with pytest.raises(ValueError, match="localhost is not a public address"):
        allowed.check(target("http://localhost:9/"))


def test_a_setting_that_allows_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"WEBHOOK_ALLOW: '10.0.0.0/99' is neither"):
        Settings.from_environ({"WEBHOOK_ALLOW": "10.0.0.0/99"})


def test_two_secrets_can_be_used_at_once() -> None:
    first, second = (b"a" * 24, b"b" * 64)
    text = " ".join(f"whsec_{base64.b64encode(secret).decode()}" for secret in (first, second))
    assert secrets_in(text) == (first, second)
    assert secrets_in("") == ()


@pytest.mark.parametrize("text", ["secret", "whsec_", "whsec_YWJj", "whsec_!!!!", base64.b64encode(b"a" * 24).decode()])
def test_a_secret_that_is_none_says_how_to_make_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"WEBHOOK_SECRET is not whsec_.*openssl rand"):
        secrets_in(text)
