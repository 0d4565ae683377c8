"""Host and origin of requests: which are accepted, and for which routes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder, run_wsgi_app

from contract.settings import Settings
from gateway.app import create_app
from gateway.door.middleware import Door
from tests.gateway.test_refusals import problem

JOBS, PREDICT = "/v1/jobs", "/v1/models/sum/predict"


def answered(path: str, method: str = "GET", **environ: str) -> str:
    """The status, of a gateway that is known as models.example, too."""

    def rest(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    built = {**EnvironBuilder(path, method=method).get_environ(), "HTTP_HOST": "localhost", **environ}
    return run_wsgi_app(Door(rest, ("Models.example", "[fd00::8]:80")), built)[1]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "localhost:", "localhost:8080", "127.0.0.1:8080", "127.1.2.3"),
        *("[::1]", "[::1]:8080", "models.example", "MODELS.example.:65535", "[fd00::8]:8080"),
    ],
)
def test_a_host_of_its_own_gets_in(host: str) -> None:
    assert answered(JOBS, HTTP_HOST=host) == "200 OK"
    assert answered(PREDICT, "POST", HTTP_HOST=host) == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "evil.models.example", "0.0.0.0"),
        *("models.example.evil", "127.0.0.1..", "[::2]", "[::ffff:10.0.0.1]", "0x7f.1", "2130706433"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_a_foreign_host_reads_and_writes_nothing(host: str, method: str) -> None:
    assert answered(JOBS, method, HTTP_HOST=host) == "403 FORBIDDEN"
    assert answered(PREDICT, method, HTTP_HOST=host) == "403 FORBIDDEN"


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "::1", "[localhost]", "[]", "[::1", "user@localhost", "localhost/", "localhost, evil.example"),
        *(
            "localhost:65536",
            "localhost:8080:8080",
            "localhost:-1",
            "localhost:http",
            "http://localhost",
            "l\xf6calhost",
        ),
        *("localhost:\u0663", "a" * 256, "localhost\t", "%6cocalhost", "127.0.0.1#.evil.example"),
    ],
)
def test_what_is_no_host_is_400(host: str) -> None:
    assert answered(JOBS, HTTP_HOST=host) == "400 BAD REQUEST"


@pytest.mark.parametrize("host", ["evil.example", "", "10.0.0.7:8080"])
def test_health_is_told_under_any_host(host: str) -> None:
    for path in ("/health/live", "/health/ready"):
        assert answered(path, HTTP_HOST=host) == "200 OK"
    for path in ("/health", "/healthy", "/v1/health/live", "//health/live"):
        assert answered(path, HTTP_HOST=host) != "200 OK"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/v1/jobs", "200 OK"),
        ("HTTP://127.0.0.1:8080/v1/jobs?limit=1", "200 OK"),
        ("http://models.example", "200 OK"),
        ("*", "200 OK"),
        ("http://evil.example/v1/jobs", "403 FORBIDDEN"),
        ("http://localhost@evil.example/v1/jobs", "400 BAD REQUEST"),
        ("http:///v1/jobs", "400 BAD REQUEST"),
        ("ftp://localhost/v1/jobs", "400 BAD REQUEST"),
        ("localhost:80", "400 BAD REQUEST"),
    ],
)
def test_the_host_of_an_absolute_target_has_to_be_its_own_as_well(target: str, status: str) -> None:
    assert answered(JOBS, RAW_URI=target) == status
    assert answered(JOBS, RAW_URI=target, HTTP_HOST="evil.example") != "200 OK"


OURS = ("http://localhost", "http://localhost:3000", "http://[::1]:8080", "https://models.example", "http://127.0.0.1")
FOREIGN = (
    *("https://evil.example", "http://127.0.0.1.evil.example", "null", "", "http://[bad", "http://localhost/"),
    *("http://user@localhost", "http://evil.example@localhost", "http://localhost#x", "http://localhost:99999"),
    *("ftp://localhost", "localhost", "//localhost", "http://localhost,http://evil.example", "http://localhost evil"),
    *("file://", "http://", "http://localhost:80:80", "http://models.example.evil", "https://models.example\\evil"),
)


@pytest.mark.parametrize("origin", OURS)
@pytest.mark.parametrize("site", ["same-origin", "same-site", "cross-site"])
def test_a_page_of_an_allowed_origin_may_write(origin: str, site: str) -> None:
    for method in ("GET", "POST"):
        assert answered(PREDICT, method, HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE=site) == "200 OK"


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_a_foreign_origin_may_not(origin: str) -> None:
    for path, method in ((PREDICT, "GET"), (PREDICT + "/", "GET"), (PREDICT, "POST"), (JOBS + "/1", "DELETE")):
        assert answered(path, method, HTTP_ORIGIN=origin) == "403 FORBIDDEN"
    assert answered(JOBS, HTTP_ORIGIN=origin) == "200 OK"  # the browser does not show it the answer


@pytest.mark.parametrize(
    ("site", "status"),
    [
        ("cross-site", "403 FORBIDDEN"),
        ("same-site", "403 FORBIDDEN"),
        ("same-origin", "200 OK"),
        ("none", "200 OK"),
        ("a word to come", "200 OK"),
    ],
)
def test_a_page_that_hides_its_origin_makes_no_job(site: str, status: str) -> None:
    for method in ("GET", "POST"):
        assert answered(PREDICT, method, HTTP_SEC_FETCH_SITE=site) == status
    for path in (JOBS, "/v1/models/predict", "/v1/models/sum"):
        assert answered(path, HTTP_SEC_FETCH_SITE=site) == "200 OK"


@pytest.mark.parametrize("path", [f"/{PREDICT}", f"//{PREDICT}/", f"{PREDICT}//"])
def test_more_slashes_lead_no_foreign_page_past_the_door(path: str, client: FlaskClient) -> None:
    environ = EnvironBuilder(headers={"Sec-Fetch-Site": "cross-site"}).get_environ() | {"PATH_INFO": path}
    assert run_wsgi_app(client.application, environ)[1] == "403 FORBIDDEN"
    del environ["HTTP_SEC_FETCH_SITE"]
    assert run_wsgi_app(client.application, environ)[1] != "403 FORBIDDEN"


def test_every_route_but_health_is_behind_the_door(settings: Settings) -> None:
    app: Flask = create_app(dataclasses.replace(settings, allow_upload=True))
    client = app.test_client()
    assert len(list(routes(app))) > 20
    for rule, method in routes(app):
        path = rule.rule.replace("<", "").replace(">", "")
        response = client.open(path, method=method, headers={"Host": "evil.example"})
        if path.startswith("/health/"):
            assert response.status_code != 403
        else:
            assert response.status_code == 403, (path, method)
        if method not in ("GET", "HEAD", "OPTIONS"):
            response = client.open(path, method=method, headers={"Origin": "https://evil.example"})
            problem(response, 403, "foreign_origin")


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            if method != "HEAD":  # has no body to look into
                yield rule, method


def test_a_refusal_says_what_to_do(client: FlaskClient) -> None:
    assert "ALLOWED_HOSTS" in problem(client.get(JOBS, headers={"Host": "evil"}), 403, "foreign_host")["detail"]
    for headers in ({"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        body = problem(client.get(f"{PREDICT}?a=1&b=2", headers=headers), 403, "foreign_origin")
        assert "ALLOWED_HOSTS" in body["detail"]
    problem(client.get(JOBS, headers={"Host": "a b"}), 400, "malformed_request")
