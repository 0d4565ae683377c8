"""The runbook has an entry for each alert and each reason of bad health, and names only what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract.env_example import example
from contract.settings import Settings
from gateway.app import create_app
from tests.docs.test_pages import anchors
from tests.support import PROJECT

PAGE = PROJECT / "docs" / "runbook.md"
TEXT = PAGE.read_text()
HTTP_API = (PROJECT / "docs" / "reference" / "http-api.md").read_text()
ALERTS = PROJECT / "monitoring" / "alerts.yml"
SERVICES = re.findall(r"^  ([a-z]+):$", (PROJECT / "docker-compose.yml").read_text(), re.MULTILINE) + ["haproxy"]


def entries() -> dict[str, str]:
    """The entries by heading."""
    parts = re.split(r"^### (.*)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_alert_leads_to_an_entry() -> None:
    alerts = re.split(r"- alert: ", ALERTS.read_text())[1:]
    assert len(alerts) >= 7
    for alert in alerts:
        (anchor,) = re.findall(r"^ +runbook: docs/runbook\.md#(\S+)$", alert, re.MULTILINE)
        assert anchor in anchors(PAGE), alert


def test_each_entry_says_how_to_see_it_and_what_to_do() -> None:
    for heading, entry in entries().items():
        leads_on = len(entry.strip().splitlines()) <= 3 and "](#" in entry
        assert leads_on or ("**See**" in entry and "**Do**" in entry), heading


def test_each_reason_of_bad_health_is_in_the_runbook() -> None:
    table = HTTP_API.partition("| `code` of a reason |")[2].partition("\n\n")[0]
    codes = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert len(codes) >= 9
    assert [code for code in codes if f"`{code}`" not in TEXT] == []


def test_the_settings_and_codes_and_metrics_that_it_names_exist() -> None:
    settings = set(re.findall(r"(?m)^# ([A-Z_]+)=", example()))
    named = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", TEXT)) - {"MISCONF", "NOAUTH", "WRONGPASS"}
    assert named - settings == set()
    metrics = set(re.findall(r"modelgate_\w+", TEXT))
    reference = (PROJECT / "docs" / "reference" / "metrics.md").read_text()
    assert [metric for metric in sorted(metrics) if f"`{metric}`" not in reference] == []
    codes = set(re.findall(r"`(\w+_\w+)`", TEXT)) - metrics
    known = HTTP_API + (PROJECT / "contract" / "errors.py").read_text()
    assert [code for code in sorted(codes) if code.islower() and code not in known] == []


def commands() -> Iterator[str]:
    for block in re.findall(r"^```console\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        yield from re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    yield from re.findall(r"`((?:docker|curl) [^`]*)`", TEXT)


def test_the_commands_name_services_and_routes_that_exist() -> None:
    written = list(commands())
    assert len(written) > 20
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.bind("localhost")
    for command in written:
        for service in re.findall(r"\b(?:exec|ps|cp|kill)(?: -\S+)* ([a-z]+)", command):
            assert service in SERVICES, command
        for path in re.findall(r"127\.0\.0\.1:8080(/[^\s'?]*)", command):
            method = next(iter(re.findall(r"-X (\w+)", command)), "GET")
            assert routes.test(path.replace("{id}", "x").replace("{v}", "1"), method), command
