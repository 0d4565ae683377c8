"""The front door: host and origin of requests, and the levels of routes."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder, run_wsgi_app

from broker.access.key_store import Keys, Sessions
from broker.link.connection import connect
from contract.model.repository import Repository
from contract.settings import MB, Settings
from gateway.app import create_app
from gateway.door.attempts import FailedAttempts
from gateway.door.authentication import KeyCheck
from gateway.door.body_work import BodyWork
from gateway.door.closed import ClosedState
from gateway.door.entrance import Door, FastPath
from gateway.door.guard import Guard
from gateway.door.sessions import BrowserSessions
from gateway.http.rules import Level, Route
from gateway.serving.marker import Marker
from gateway.serving.model_versions import refuse_model
from tests.gateway.problems.test_refusals import problem
from tests.support import DEADLINE, PROJECT

JOBS, PREDICT = "/v1/jobs", "/v1/models/sum/predict"
Answered = Callable[..., str]


@pytest.fixture(scope="module")
def door(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Door:
    """The door of a gateway that is also known as models.example. Behind it, every request is answered with 200."""
    folder = tmp_path_factory.mktemp("models")
    app = create_app(Settings(redis_url="redis://127.0.0.1:1", models_dir=folder))
    route = next(rule for rule in app.url_map.iter_rules("predictions.post") if isinstance(rule, Route))
    fast_path = FastPath(route, lambda environ, reference: Response())
    guard = Guard(("Models.example", "[fd00::8]:80"))
    connection = connect(redis_url, DEADLINE)  # after a stall, a test would leave a new connection behind
    connection.flushall()
    keys = Keys(connection)
    closed = ClosedState(keys, Marker(folder / "closed"), always=False, admin_key=False)
    sessions = BrowserSessions(Sessions(connection))
    check = KeyCheck(keys, closed, "", FailedAttempts(), lambda fingerprint: None, sessions)
    return Door(
        Response(),
        app.url_map.bind("localhost"),
        fast_path,
        guard,
        check,
        BodyWork(MB),
        functools.partial(refuse_model, Repository(folder)),
    )


@pytest.fixture
def answered(door: Door) -> Answered:
    """The status of a request."""

    def answered(path: str, method: str = "GET", **environ: str) -> str:
        built = {**EnvironBuilder(path, method=method).get_environ(), "HTTP_HOST": "localhost", **environ}
        return run_wsgi_app(door, built)[1]

    return answered


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "localhost:", "localhost:8080", "127.0.0.1:8080", "127.1.2.3"),
        *("[::1]", "[::1]:8080", "models.example", "MODELS.example.:65535", "[fd00::8]:8080"),
    ],
)
def test_the_gateways_own_hosts_are_accepted(answered: Answered, host: str) -> None:
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
def test_a_foreign_host_reads_and_writes_nothing(answered: Answered, host: str, method: str) -> None:
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
def test_an_invalid_host_is_400(answered: Answered, host: str) -> None:
    assert answered(JOBS, HTTP_HOST=host) == "400 BAD REQUEST"


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.7:8080"])
def test_open_routes_answer_under_any_host_and_nothing_else_does(answered: Answered, host: str) -> None:
    for path in ("/health/live", "/health/ready", "/health", "/ping", "/v2/health/ready"):
        assert answered(path, HTTP_HOST=host) == "200 OK"
    for path in ("/healthy", "/v2/models", "/v1/health/live", "/health/nope"):
        assert answered(path, HTTP_HOST=host) != "200 OK"
    assert answered("/health/live", "POST", HTTP_HOST=host) != "200 OK"


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
def test_the_host_of_an_absolute_target_is_checked_too(answered: Answered, target: str, status: str) -> None:
    assert answered(JOBS, RAW_URI=target) == status
    assert answered(JOBS, RAW_URI=target, HTTP_HOST="evil.example") != "200 OK"


PLACES = (  # the host of the gateway, and an origin of its own pages
    *(("localhost:8080", "http://localhost:8080"), ("LOCALHOST.", "http://localhost"), ("[::1]", "http://[::1]:80")),
    *(("Models.example:80", "http://models.example"), ("127.0.0.1:443", "http://127.0.0.1:443")),
)
FOREIGN = (
    *("https://evil.example", "http://127.0.0.1.evil.example", "null", "", "http://[bad", "http://localhost/"),
    *("http://user@localhost", "http://evil.example@localhost", "http://localhost#x", "http://localhost:99999"),
    *("ftp://localhost", "localhost", "//localhost", "http://localhost,http://evil.example", "http://localhost evil"),
    *("http://localhost:3000", "https://localhost", "http://127.0.0.1", "http://[::1]", "http://models.example"),
    *("file://", "http://", "http://localhost:80:80", "http://models.example.evil", "https://models.example\\evil"),
)


@pytest.mark.parametrize(("host", "origin"), PLACES)
def test_a_page_of_the_gateway_may_write_and_one_of_another_port_may_not(
    answered: Answered, host: str, origin: str
) -> None:
    for method in ("GET", "POST"):
        ask = functools.partial(answered, PREDICT, method, HTTP_HOST=host)
        assert ask(HTTP_ORIGIN=origin) == ask(HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE="same-origin") == "200 OK"
        assert ask(HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE="same-site") == "403 FORBIDDEN"
        assert ask(HTTP_ORIGIN=origin.removesuffix(":80") + ":81") == "403 FORBIDDEN"


def test_a_page_of_the_gateway_behind_an_unnamed_proxy_with_tls_may_write(answered: Answered) -> None:
    page = {"HTTP_HOST": "models.example", "HTTP_ORIGIN": "https://models.example"}
    assert answered(PREDICT, "POST", **page, HTTP_SEC_FETCH_SITE="same-origin") == "200 OK"
    assert answered(PREDICT, "POST", **page, HTTP_SEC_FETCH_SITE="none") == "403 FORBIDDEN"
    assert answered(PREDICT, "POST", **page, **{"wsgi.url_scheme": "https"}) == "200 OK"


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_a_foreign_origin_may_not(answered: Answered, origin: str) -> None:
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
        ("a word to come", "403 FORBIDDEN"),
    ],
)
def test_a_foreign_page_without_an_origin_makes_no_job(answered: Answered, site: str, status: str) -> None:
    for method in ("GET", "POST"):
        assert answered(PREDICT, method, HTTP_SEC_FETCH_SITE=site) == status
    for path in (JOBS, "/v1/models/predict", "/v1/models/sum"):
        assert answered(path, HTTP_SEC_FETCH_SITE=site) == "200 OK"


@pytest.mark.parametrize("path", [f"/{PREDICT}", f"//{PREDICT}/", f"{PREDICT}//"])
def test_repeated_slashes_do_not_bypass_the_guard(path: str, client: FlaskClient) -> None:
    """Werkzeug leaves out the slashes at the front; with others there is no such path."""
    environ = EnvironBuilder(headers={"Sec-Fetch-Site": "cross-site"}).get_environ() | {"PATH_INFO": path}
    assert run_wsgi_app(client.application, environ)[1] in ("403 FORBIDDEN", "404 NOT FOUND")
    del environ["HTTP_SEC_FETCH_SITE"]
    assert run_wsgi_app(client.application, environ)[1] != "403 FORBIDDEN"


@pytest.mark.parametrize("path", ["/v1//models", "/v1/models//sum", "/v1/jobs//x"])
def test_no_request_is_redirected(path: str, client: FlaskClient) -> None:
    """A redirect would name http, also behind a proxy with TLS, and the client would send its key there."""
    answer = client.get(path, headers={"Host": "localhost"})
    problem(answer, 404, "not_found")
    assert "Location" not in answer.headers


def test_every_route_but_the_open_ones_is_behind_the_guard(settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, allow_upload="1"))
    client = app.test_client()
    for rule, method in routes(app):
        if rule.rule == "/ui/login":  # the token of its form protects it
            continue
        path = rule.rule.replace("<", "").replace(">", "")
        response = client.open(path, method=method, headers={"Host": "evil.example"})
        assert (response.status_code == 403) == (rule.level is not Level.OPEN and not rule.any_host), (path, method)
        if method not in ("GET", "HEAD", "OPTIONS"):
            response = client.open(path, method=method, headers={"Origin": "https://evil.example"})
            assert response.status_code == 403, (path, method)
            assert "CORS_ORIGINS" in response.text


def routes(app: Flask) -> Iterator[tuple[Route, str]]:
    for rule in app.url_map.iter_rules():
        assert isinstance(rule, Route)
        for method in rule.methods or ():
            if method != "HEAD":  # has no body to look into
                yield rule, method


def test_every_route_has_the_level_that_the_reference_names() -> None:
    printed = subprocess.run([sys.executable, "-m", "gateway", "routes"], cwd=PROJECT, capture_output=True, text=True)
    page = (PROJECT / "docs" / "reference" / "http-api.md").read_text()
    assert f"\n```\n{printed.stdout}```\n" in page, printed.stderr
    assert "\nopen     GET     /health/live\n" in printed.stdout


def test_the_gateway_does_not_start_with_a_route_without_a_level(settings: Settings) -> None:
    with pytest.raises(TypeError, match=r"the route /v1/all declares no level; add level=, one of Level\.OPEN, "):
        create_app(settings).get("/v1/all")(lambda: "")


def test_a_route_without_a_level_that_bypasses_the_declaration_is_closed(settings: Settings) -> None:
    app = create_app(settings)
    app.url_map.add(Rule("/v1/all", endpoint="all"))
    app.view_functions["all"] = lambda: "all"
    problem(app.test_client().get("/v1/all"), 403, "no_level")


def test_the_guard_has_one_caller() -> None:
    sources = (path.read_text() for path in (PROJECT / "gateway").rglob("*.py"))
    assert sum(source.count("guard.check(") for source in sources) == 1


def test_a_refusal_says_what_to_do(client: FlaskClient) -> None:
    assert "ALLOWED_HOSTS" in problem(client.get(JOBS, headers={"Host": "evil"}), 403, "foreign_host")["detail"]
    for headers in ({"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        body = problem(client.get(f"{PREDICT}?a=1&b=2", headers=headers), 403, "foreign_origin")
        assert "CORS_ORIGINS" in body["detail"]
    problem(client.get(JOBS, headers={"Host": "a b"}), 400, "malformed_request")
