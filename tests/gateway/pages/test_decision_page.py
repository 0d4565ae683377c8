"""The page Decision shows what a threshold finds and misses, and saves it as a new version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.model.signature import Decision, Output, OutputKind
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.app import create_app
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version

FRAUD = Output(OutputKind.CLASS, (0, 1), probabilities=True, label_names=("none", "fraud"))
PATH = "/ui/models/payments/versions/1/decision"
STEPS = {"threshold": [0.1, 0.2, 0.3, 0.5, 0.999], "flagged": [90, 43, 43, 0, 0], "right": [35, 31, 31, 0, 0]}
THRESHOLDS = {
    "label": "1",
    "rows": 1000,
    "positives": 40,
    "share": 0.04,
    "steps": STEPS,
    "items": [{"threshold": 0.5, "served": True}],
}
COMMANDS: list[RepositoryCommand] = []


@pytest.fixture
def browser(settings: Settings, models: Path) -> Browser:
    """One at a gateway without keys, whose trainer makes version 2 of every edit."""
    COMMANDS.clear()
    write_version(models, "payments", Sum(), numbers("a"), FRAUD)
    report(models, THRESHOLDS)

    def obey(command: RepositoryCommand) -> dict[str, Any]:
        COMMANDS.append(command)
        return {"aliases": {}, "version": 2, "versions": [1, 2], "warnings": []}

    return Browser(create_app(settings, obey).test_client())


def report(models: Path, thresholds: Any, version: int = 1) -> None:
    folder = models / f"payments/versions/{version}/report"
    folder.mkdir(exist_ok=True)
    facts = {
        "tested": {"rows": 1000, "held_out": True, "sample": False},
        "answers": {"thresholds": thresholds},
        "verdict": "Finds none of 40.",
        "level": "bad",
    }
    (folder / "report.json").write_text(json.dumps(facts))


def test_a_threshold_shows_what_it_finds_and_misses_beside_todays(browser: Browser) -> None:
    shown = words(browser.get(f"{PATH}?threshold=0.2").text)
    assert "It decides as the model itself does." in shown
    assert "From 0.2 on, of 1,000 rows tested" in shown
    assert "found 31 of 40" in shown and "missed 9" in shown and "false alarms 12" in shown and "alarms 43" in shown
    assert "As it decides today, it finds 0 and misses 40, with 0 false alarms." in shown
    assert "found 31 of 40" in words(browser.get(f"{PATH}?threshold=0.25").text), "the same counts on both sides"
    assert "found 0 of 40" in words(browser.get(PATH).text), "the threshold of today"
    assert "not known at this threshold" in words(browser.get(f"{PATH}?threshold=0.15").text)


def test_costs_mark_the_cheapest_threshold(browser: Browser) -> None:
    page = browser.get(f"{PATH}?threshold=0.5&miss=100&false_alarm=1").text
    assert "costs 4,000 least 555, from 0.1 on" in words(page)
    assert 'href="?threshold=0.1&amp;miss=100&amp;false_alarm=1"' in page
    assert "costs 4,000" not in words(browser.get(f"{PATH}?threshold=0.5").text)


@pytest.mark.parametrize(
    "query", ["threshold=0", "threshold=1", "threshold=nan", "threshold=x", "miss=-1", "false_alarm=inf", "miss=1e13"]
)
def test_a_number_that_cannot_be_used_is_refused_with_its_name(browser: Browser, query: str) -> None:
    page = browser.get(f"{PATH}?{query}")
    assert page.status_code == 400 and f"{query.partition('=')[0]} must be a number" in words(page.text).lower()


def test_a_threshold_is_saved_as_a_new_version(browser: Browser) -> None:
    page = browser.get(f"{PATH}?threshold=0.2")
    assert "under no alias" in words(page.text) and 'name="label" value="fraud"' in page.text
    saved = browser.send(PATH, PATH, label="fraud", threshold="0.2")
    assert saved.status_code == 303 and saved.headers["Location"] == "/ui/models/payments/versions/2"
    (command,) = COMMANDS
    assert (command.action, command.version) == (RepositoryAction.EDIT_SIGNATURE, 1)
    assert command.edits == {"outputs": [{"decision": {"label": "fraud", "threshold": 0.2}}]}
    for fields in ({"label": "frod", "threshold": "0.2"}, {"label": "fraud", "threshold": "x"}, {}):
        refused = browser.send(PATH, PATH, **fields)
        assert refused.status_code == 422 and "must be" in words(refused.text)
    assert len(COMMANDS) == 1


def test_a_version_says_how_it_decides_and_leads_to_its_thresholds(browser: Browser, models: Path) -> None:
    page = browser.get("/ui/models/payments/versions/1").text
    assert "decides as the model itself does. Choose a threshold" in words(page) and f'href="{PATH}"' in page
    assert '<p class="lead bad-text">Finds none of 40.</p>' in page
    output = Output(OutputKind.CLASS, (0, 1), True, label_names=("none", "fraud"), decision=Decision(1, 0.2))
    write_version(models, "payments", Sum(), numbers("a"), output, version=2)
    report(models, THRESHOLDS, 2)
    said = "for 'fraud' from a probability of 0.2 on"
    assert f"decides {said}." in words(browser.get("/ui/models/payments/versions/2").text)
    shown = words(browser.get(PATH.replace("/1/", "/2/")).text)
    assert f"It decides {said}." in shown and "From 0.2 on" in shown and "As it decides today" not in shown
    compared = words(browser.get("/ui/models/payments/compare?a=1&b=2").text)
    assert f"decides as the model itself does {said}" in compared
    (models / "payments/aliases.json").write_text('{"current": 1}')
    promoted = words(browser.get("/ui/models/payments/versions/2/promote").text)
    assert f"Predict decides {said} instead of as the model itself does." in promoted


@pytest.mark.parametrize(
    "thresholds",
    [
        {"missing": "none"},
        {**THRESHOLDS, "steps": 3},
        {**THRESHOLDS, "rows": "many"},
        {**THRESHOLDS, "label": "2"},
        {key: value for key, value in THRESHOLDS.items() if key != "steps"},
    ],
)
def test_without_known_thresholds_the_page_says_what_gives_them(
    browser: Browser, models: Path, thresholds: Any
) -> None:
    report(models, thresholds)
    page = browser.get(PATH)
    assert page.status_code == 200 and "No thresholds are known" in page.text
    assert browser.get("/ui/models/payments/versions/1").status_code == 200


def test_a_model_of_numbers_has_no_thresholds(browser: Browser) -> None:
    assert "No thresholds are known" in browser.get("/ui/models/sum/versions/1/decision").text
