"""Pages of listed origins may call the gateway from a browser, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.errors import SettingsError
from contract.settings import Settings
from gateway.app import create_app
from tests.gateway.door.test_audit import ADMIN, ADMIN_KEY, ROW

APP, OTHER = "https://app.example.org", "https://other.example.org"
PREDICT = "/v1/models/sum/predict"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
def gateway(settings: Settings) -> FlaskClient:
    return create_app(replace(settings, admin_key=ADMIN_KEY, cors_origins=(APP,))).test_client()


def test_a_preflight_of_a_listed_origin_needs_no_key(gateway: FlaskClient) -> None:
    answered = gateway.options(PREDICT, headers={"Origin": APP, **ASKED})
    assert (answered.status_code, answered.data) == (204, b"")
    assert answered.headers["Access-Control-Allow-Origin"] == APP
    assert answered.headers["Vary"] == "Origin"
    assert "POST" in answered.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type", "x-api-key"} <= names(answered, "Access-Control-Allow-Headers")
    assert "Access-Control-Allow-Credentials" not in answered.headers


def test_a_page_sends_and_reads_every_header_that_the_document_has(gateway: FlaskClient) -> None:
    operations = [
        operation
        for path in gateway.get("/openapi.json", headers=ADMIN).json["paths"].values()
        for operation in path.values()
    ]
    parameters = [parameter for operation in operations for parameter in operation.get("parameters", ())]
    sent = {parameter["name"].lower() for parameter in parameters if parameter["in"] == "header"}
    read = {
        name.lower()
        for operation in operations
        for answer in operation["responses"].values()
        for name in answer.get("headers", ())
    }
    preflight = gateway.options(PREDICT, headers={"Origin": APP, **ASKED})
    assert {*sent, "if-none-match", "if-range", "range"} <= names(preflight, "Access-Control-Allow-Headers")
    assert read <= names(preflight, "Access-Control-Expose-Headers")


def names(answer: TestResponse, header: str) -> set[str]:
    """Return the names that the value of a header lists."""
    return set(answer.headers[header].lower().split(", "))


@pytest.mark.parametrize("origin", [OTHER, "null", "https://app.example.org.evil", "https://app.example.org:8443", "*"])
def test_a_preflight_of_another_origin_is_a_request_without_a_key(gateway: FlaskClient, origin: str) -> None:
    answered = gateway.options(PREDICT, headers={"Origin": origin, **ASKED})
    assert answered.status_code == 401
    assert not [name for name, _ in answered.headers if name.startswith("Access-Control")]
    assert answered.headers["Vary"] == "Origin"


def test_a_page_reads_answers_and_refusals(gateway: FlaskClient) -> None:
    for headers, status in ((ADMIN, 202), ({}, 401)):
        answered = gateway.post(PREDICT, json=ROW, headers={"Origin": APP, **headers})
        assert answered.status_code == status
        assert answered.headers["Access-Control-Allow-Origin"] == APP
        exposed = answered.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"} <= {*exposed}


def test_an_answer_that_a_cache_may_hold_depends_on_the_origin(gateway: FlaskClient) -> None:
    answered = gateway.get("/v1/models", headers=ADMIN)
    assert answered.headers["Vary"] == "Origin" and "Access-Control-Allow-Origin" not in answered.headers


def test_another_options_request_goes_on(gateway: FlaskClient) -> None:
    assert gateway.options(PREDICT, headers={"Origin": APP}).status_code == 401
    assert gateway.options(PREDICT, headers={"Origin": APP, **ADMIN}).status_code == 200


def test_without_the_setting_no_answer_speaks_of_origins(settings: Settings) -> None:
    gateway = create_app(settings).test_client()
    answered = gateway.get("/v1/models", headers={"Origin": APP})
    assert not [name for name, _ in answered.headers if name.startswith(("Access-Control", "Vary"))]


@pytest.mark.parametrize(("origin", "status"), [(APP, 202), (OTHER, 403)])
def test_without_keys_a_listed_origin_writes_as_our_own_does(settings: Settings, origin: str, status: int) -> None:
    gateway = create_app(replace(settings, cors_origins=(APP,))).test_client()
    assert gateway.post(PREDICT, json=ROW, headers={"Origin": origin}).status_code == status
    foreign = gateway.post(PREDICT, json=ROW, headers={"Origin": origin, "Host": "evil.example"})
    assert foreign.status_code == 403


@pytest.mark.parametrize("origins", ["*", "null", "app.example.org", "https://app.example.org/", "https://App.example"])
def test_a_setting_that_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        Settings.from_environ({"CORS_ORIGINS": origins})
