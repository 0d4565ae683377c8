"""Trusted proxies: who may say who the client is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.errors import SettingsError
from contract.settings import Settings
from gateway.app import create_app
from gateway.door.proxies import TrustedProxies
from tests.gateway.door.test_audit import answer, entries

MOVE = "/v1/models/sum/aliases/canary"


def seen(networks: tuple[str, ...], peer: str, **headers: str) -> dict[str, Any]:
    """The environment that the door goes on with."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "gateway"}
    environ |= {f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()}
    TrustedProxies(networks).apply(environ)
    return environ


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.1.2.3", "192.0.2.7"),
        ("evil, 192.0.2.7,10.1.2.3 ,\t10.0.0.7", "192.0.2.7"),
        ("192.0.2.7:51234", "192.0.2.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:DB8::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("10.1.2.3", "10.1.2.3"),
        ("", "10.0.0.7"),
        ("unknown", "10.0.0.7"),
        ("192.0.2.7, unknown", "10.0.0.7"),
        ("192.0.2.7, \x1b[2J", "10.0.0.7"),
        ("192.0.2.7, 10.1.2.3:99999999", "10.0.0.7"),
        (f"192.0.2.7{',10.1.2.3' * 1000}", "10.1.2.3"),
        ("x" * 1_000_000, "10.0.0.7"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(forwarded: str, client: str) -> None:
    assert seen(("10.0.0.7", "10.1.0.0/16"), "10.0.0.7", **{"for": forwarded})["REMOTE_ADDR"] == client


@pytest.mark.parametrize("peer", ["10.0.0.8", "10.2.0.1", "2001:db8::1", "", "unix:"])
def test_nobody_else_is_believed(peer: str) -> None:
    headers = {"for": "192.0.2.7", "proto": "https", "host": "evil.example"}
    environ = seen(("10.0.0.7", "10.1.0.0/16"), peer, **headers)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (peer, "http", "gateway")


@pytest.mark.parametrize(
    ("sent", "scheme", "host"),
    [
        ({}, "http", "gateway"),
        ({"proto": "https", "host": "models.example.org"}, "https", "models.example.org"),
        ({"proto": "http, HTTPS", "host": "evil.example, models.example.org"}, "https", "models.example.org"),
        ({"proto": "gopher", "host": " "}, "http", "gateway"),
    ],
)
def test_scheme_and_host_are_those_of_the_last_proxy(sent: dict[str, str], scheme: str, host: str) -> None:
    environ = seen(("2001:db8::/32",), "2001:db8::1", **sent)
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (scheme, host)


def test_an_ipv4_proxy_is_known_on_a_socket_for_both() -> None:
    assert seen(("10.0.0.7",), "::ffff:10.0.0.7", **{"for": "192.0.2.7"})["REMOTE_ADDR"] == "192.0.2.7"


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "haproxy", "10.0.0.0/33", "10.0.0.7:80", "*"])
def test_a_setting_that_names_no_network_is_refused(networks: str) -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        Settings.from_environ({"TRUSTED_PROXIES": networks})


@pytest.mark.parametrize(("trusted", "client"), [(("127.0.0.0/8",), "192.0.2.7"), ((), "127.0.0.1")])
def test_the_audit_log_names_the_client(
    settings: Settings, redis: Redis, trusted: tuple[str, ...], client: str
) -> None:
    gateway: FlaskClient = create_app(replace(settings, trusted_proxies=trusted), answer).test_client()
    headers = {"X-Forwarded-For": "203.0.113.1, 192.0.2.7", "Forwarded": "for=203.0.113.2"}
    assert gateway.put(MOVE, json={"version": 1}, headers=headers).status_code == 200
    assert [entry["client"] for entry in entries(redis)] == [client]


def test_the_forwarded_host_is_checked_as_the_clients_own(settings: Settings) -> None:
    gateway = create_app(replace(settings, trusted_proxies=("127.0.0.1",))).test_client()
    refused = gateway.get("/v1/models", headers={"X-Forwarded-Host": "evil.example"})
    assert (refused.status_code, refused.json["code"]) == (403, "foreign_host")  # type: ignore[index]
