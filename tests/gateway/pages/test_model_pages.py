"""The pages about models: what they show, and what they do."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.metrics.traffic import Point
from broker.state import waited_jobs
from contract.errors import Code, ModelgateError
from contract.model.manifest import TrainingData
from contract.model.report_placeholders import STATUS
from contract.model.repository import Repository
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.app import create_app
from gateway.pages.api import snippets
from gateway.pages.traffic_page import drawn
from tests.gateway.conftest import without_redis
from tests.gateway.pages.browsers import Browser, words
from tests.gateway.routes.test_traffic import record
from tests.support import PROJECT, Sum, numbers, write_version
from trainer.jobs.commands import HANDLERS, CommandParts

COMMANDS: list[RepositoryCommand] = []
COMPARISON = {"version": 1, "rows": 154, "outcome": "better", "metrics": [{"name": "r2", "before": 0.7, "now": 0.8}]}


@pytest.fixture
def browser(settings: Settings, models: Path) -> Browser:
    """One at a gateway without keys, whose trainer obeys."""
    COMMANDS.clear()

    def obey(command: RepositoryCommand) -> dict[str, Any]:
        COMMANDS.append(command)
        return {"aliases": {}}

    return Browser(create_app(settings, obey).test_client())


def test_the_models_are_listed_with_their_versions(browser: Browser) -> None:
    page = browser.get("/ui")
    assert page.status_code == 200 and 'href="/ui/models/sum"' in page.text
    assert "sum 1 " in words(page.text)


def test_pages_say_what_a_model_predicts_and_from_what(browser: Browser, models: Path) -> None:
    assert "a number, from 2 inputs" in words(browser.get("/ui").text)
    assert "Predicts a number from 2 inputs." in words(browser.get("/ui/models/sum").text)
    classes = Signature((Field("age", Kind.NUMBER),), (Output(OutputKind.CLASS, ("no", "yes")),))
    data = TrainingData("loan.csv", 614, "x", "approved")
    write_version(models, "sum", Sum(), [], version=2, signature=classes, training_data=data)
    assert "approved no, yes, from 1 input" in words(browser.get("/ui").text)
    assert "Predicts approved (no, yes) from 1 input." in words(browser.get("/ui/models/sum").text)
    texts = Signature(
        (Field("text", Kind.STRING),), (Output(OutputKind.CLASS, tuple("abcdef")),), None, RowFormat.TEXTS
    )
    write_version(models, "sum", Sum(), [], version=3, signature=texts)
    assert "6 classes, from a text" in words(browser.get("/ui").text)
    write_version(models, "sum", Sum(), numbers("a"), version=4)
    (models / "sum" / "versions" / "4" / "manifest.json").write_text("{")
    assert browser.get("/ui").status_code == browser.get("/ui/models/sum/versions").status_code == 200


def test_the_card_of_a_version_is_a_page(browser: Browser, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    label = "<b>no</b> `x`"
    output, inputs = Output(OutputKind.CLASS, (label, "yes"), probabilities=True), [Field("<i>age</i>", Kind.NUMBER)]
    write_version(models, "sum", Sum(), inputs, output, version=2, parameters={"<u>": "<script>alert(1)</script>"})
    bins = {"predicted": [0.1, 0.9], "observed": [0.2, 0.8], "low": [0.1, 0.7], "high": [0.3, 0.9], "rows": [50, 50]}
    facts = {
        "verdict": "good & <em>cheap</em>",
        "tested": {"rows": 100, "held_out": True, "sample": False},
        "metrics": {"accuracy": 0.8, "baseline_accuracy": 0.6},
        "intervals": {"accuracy": [0.71, 0.87]},
        "refused": None,
        "leaks": ["leave it out of `features`"],
        "answers": {"calibration": {"label": label, "gap": 0.1, **bins}},
    }
    (models / "sum/versions/2/report").mkdir()
    (models / "sum/versions/2/report/report.json").write_text(json.dumps(facts))
    page = browser.get("/ui/models/sum/versions/2/card")
    shown = words(page.text)
    assert "Model card of version 2 current" in shown
    assert "accuracy 0.800 95 % interval 0.710 to 0.870" in shown
    assert "verdict good & <em>cheap</em>" in shown and "class <b>no</b> `x`, yes yes" in shown
    assert "too good to be true: leave it out of features ." in shown
    assert "parameters <u> <script>alert(1)</script>" in shown
    assert "not known, because no observer answers" in shown
    assert not re.search("<(b|i|u|em|script)>(no|age|alert|cheap|<)", page.text)
    assert page.text.count('class="interval"') == 2  # of the calibration
    places = [shown.index(title) for title in ("How good it is", "Limits", "How it was made", "Lineage")]
    assert places == sorted(places)
    for path in ("/ui/models/sum/versions", "/ui/models/sum/versions/2"):
        assert 'href="/ui/models/sum/versions/2/card"' in browser.get(path).text
    assert browser.get("/ui/models/sum/versions/current/card").status_code == 200
    assert browser.get("/ui/models/sum/versions/7/card").status_code == 404


def test_the_page_of_a_card_shows_facts_of_any_shape(
    browser: Browser, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    (models / "sum/versions/1/report").mkdir()
    calibration = {
        "label": 1,
        "gap": "x",
        "predicted": ["a"],
        "observed": [None],
        "low": [1],
        "high": [{}],
        "rows": [[]],
    }
    facts = {
        "metrics": {"": "x", "m": []},
        "tested": {"rows": {}, "held_out": 1, "sample": []},
        "slices": {"items": 3},
    }
    text = json.dumps({**facts, "intervals": {"r2": "ab"}, "answers": {"calibration": calibration}, "verdict": ["x"]})
    (models / "sum/versions/1/report/report.json").write_text(text)
    page = browser.get("/ui/models/sum/versions/1/card")
    assert page.status_code == 200 and "Model card of version 1" in words(page.text)


def test_the_list_of_models_says_what_modelgate_is(browser: Browser) -> None:
    assert "Modelgate makes models from CSV files and serves their predictions" in words(browser.get("/ui").text)


def test_without_models_the_list_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    client = create_app(Settings(redis_url=settings.redis_url, models_dir=tmp_path / "none")).test_client()
    page = words(Browser(client).get("/ui").text)
    assert (
        "There are no models yet" in page and "modelgate publish model.pkl" in page and "Train the first model" in page
    )


def test_without_redis_the_models_are_listed_and_the_page_says_what_is_missing(settings: Settings) -> None:
    page = words(without_redis(settings).get("/ui").text)
    assert "sum 1 " in page and "Redis does not answer" in page


def test_the_form_is_made_from_the_signature_and_holds_the_example(browser: Browser, models: Path) -> None:
    inputs = [
        Field("size", Kind.NUMBER),
        Field("area", Kind.STRING, categories=("Rural", "Urban <b>")),
        Field("old", Kind.BOOLEAN, nullable=True),
        Field("sold", Kind.DATETIME),
    ]
    example = {"size": 1.5, "area": "Urban <b>", "old": None, "sold": "2026-01-02"}
    write_version(models, "house", Sum(), inputs, example=example)
    page = browser.get("/ui/models/house/try").text
    assert re.search(r'name="input-size" id="input-0" value="1.5"[^>]*inputmode="decimal"', page)
    assert (
        '<option value="Rural">Rural</option><option value="Urban &lt;b&gt;" selected>Urban &lt;b&gt;</option>' in page
    )
    assert '<option value=""></option><option value="true">yes</option>' in page
    assert 'value="2026-01-02"' in page
    assert "yes or no, may be empty" in page and "<small>one of these</small>" in page


def test_a_row_is_predicted_and_the_same_request_shown(browser: Browser, scoring: None) -> None:
    page = browser.send(
        "/ui/models/sum/try", "/ui/models/sum/try", form_version="1", **{"input-a": "1.5", "input-b": "2"}
    )
    assert page.status_code == 200 and '<p class="answer">3.5</p>' in page.text
    shown = unescape(page.text)
    assert """-d '[{"a": 1.5, "b": 2}]'""" in shown
    assert "model.predict([{'a': 1.5, 'b': 2}])" in shown
    assert "modelgate predict sum <<'CSV'\na,b\n1.5,2\nCSV" in shown


def test_the_same_request_names_a_version_that_is_not_current(browser: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    (models / "sum" / "aliases.json").write_text('{"current": 1}')
    shown = unescape(browser.get("/ui/models/sum/try?version=2").text)
    assert "/v1/models/sum@2/predict" in shown and '.model("sum@2")' in shown and "modelgate predict sum@2 <<" in shown
    assert "/v1/models/sum/predict" in browser.get("/ui/models/sum/try").text


def test_a_value_of_several_lines_runs_nothing_in_a_shell() -> None:
    text = snippets("sum", {"a": "x\nCSV\nCSV_\nrm -rf ~\n"}, "http://x")[-1].text
    end = re.findall(r"<<'(.+)'", text)[0]
    assert text.splitlines().count(end) == 1 and text.endswith(f"\n{end}")


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("It's \u202eneat\nEND\n", '"It\'s \\u202eneat\\nEND\\n"'),
        ({"words": ["a", "b"]}, '{"words": ["a", "b"]}'),
        ([1, None], "[1, null]"),
    ],
)
def test_a_text_a_list_and_a_record_have_a_command_too(row: object, line: str) -> None:
    text = snippets("notes", row, "http://x")[-1].text
    command = "modelgate predict notes --format ndjson <<'NDJSON'"
    assert text == f"export MODELGATE_URL=http://x\n{command}\n{line}\nNDJSON"
    assert [snippet.label for snippet in snippets("notes", {}, "http://x")] == ["curl", "Python"]


@pytest.mark.parametrize("row", ["[" * 900 + "]" * 900, "[" * 50_000, "[" + "1," * 50_000 + "1]", "{"])
def test_what_is_no_row_is_refused_and_not_repeated(browser: Browser, row: str) -> None:
    page = browser.send("/ui/models/sum/try", "/ui/models/sum/try", form_version="1", row=row)
    assert page.status_code in (400, 413, 422)
    assert "modelgate predict sum <<'CSV'\na,b\n1,2\nCSV" in unescape(page.text), "the example is shown"


def test_a_value_that_cannot_be_used_is_marked_at_its_field(browser: Browser) -> None:
    page = browser.send(
        "/ui/models/sum/try", "/ui/models/sum/try", form_version="1", **{"input-a": "many", "input-b": "2"}
    )
    assert page.status_code == 422
    assert re.search(r'id="input-0" value="many"[^>]*aria-invalid="true" aria-describedby="input-0-wrong"', page.text)
    assert "'a' must be a finite number; it is 'many'" in unescape(page.text)
    assert 'id="input-1" value="2"' in page.text


def test_the_rows_of_a_csv_are_predicted_and_can_be_downloaded(browser: Browser, scoring: None) -> None:
    file = io.BytesIO(b"a,b,name\n1,2,x\n3,4,=1+1\n")
    page = browser.post(
        f"/ui/models/sum/try/file?token={browser.token('/ui/models/sum/try')}", data={"file": (file, "rows.csv")}
    )
    assert page.status_code == 200, page.text
    assert "2 rows" in words(page.text) and "<td>3.0</td>" in page.text.replace("<td>3</td>", "<td>3.0</td>")
    assert 'download="rows-predictions.csv" href="data:text/csv;base64,' in page.text


@pytest.mark.parametrize(
    ("data", "what"), [({}, "no file was chosen"), ({"file": (io.BytesIO(b""), "x.csv")}, "empty")]
)
def test_a_csv_that_cannot_be_read_is_refused_in_words(browser: Browser, data: dict[str, Any], what: str) -> None:
    path = f"/ui/models/sum/try/file?token={browser.token('/ui/models/sum/try')}"
    page = browser.post(path, data=data, content_type="multipart/form-data")
    assert page.status_code in (400, 422) and what in words(page.text).lower()


def test_a_model_of_texts_has_a_box_for_a_text(browser: Browser, models: Path) -> None:
    signature = Signature((Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),), format=RowFormat.TEXTS)
    write_version(models, "spam", Sum(), [], example={"text": "win money"}, signature=signature)
    page = browser.get("/ui/models/spam/try").text
    assert re.search(r'<textarea name="row"[^>]*>win money</textarea>', page)


def test_what_a_promotion_does_is_said_before_it_is_done(browser: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    (models / "sum" / "aliases.json").write_text('{"current": 1}')
    assert 'href="/ui/models/sum/versions/2/promote"' in browser.get("/ui/models/sum/versions").text
    ask = browser.get("/ui/models/sum/versions/2/promote")
    assert "get version 2 once the workers have loaded it" in words(ask.text) and COMMANDS == []
    done = browser.send("/ui/models/sum/versions/2/promote", "/ui/models/sum/versions/2/promote")
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/models/sum/versions?now=2")
    (command,) = COMMANDS
    assert (command.action, command.alias, command.version) == (RepositoryAction.MOVE_ALIAS, "current", 2)
    assert not command.force
    browser.send("/ui/models/sum/versions/2/promote", "/ui/models/sum/versions/2/promote", force="1")
    assert COMMANDS[-1].force


def test_a_promotion_that_fails_says_why(settings: Settings) -> None:
    def refuse(command: RepositoryCommand) -> dict[str, Any]:
        raise ModelgateError(Code.NOT_LOADED, "no worker can load version 1")

    browser = Browser(create_app(settings, refuse).test_client())
    answer = browser.send("/ui/models/sum/versions/1/promote", "/ui/models/sum/versions/1/promote")
    assert answer.status_code == 409 and "No worker can load version 1." in words(answer.text)


def test_rolling_back_needs_a_previous_version(browser: Browser, models: Path) -> None:
    refused = browser.get("/ui/models/sum/rollback")
    assert refused.status_code == 409 and "nothing to go back to" in refused.text
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    (models / "sum" / "aliases.json").write_text('{"current": 2, "previous": 1}')
    assert "Roll back to version 1" in browser.get("/ui/models/sum/versions").text
    form = browser.get("/ui/models/sum/rollback").text
    assert re.findall(r'name="(version|before)" value="(\d+)"', form) == [("version", "1"), ("before", "2")]
    done = browser.send("/ui/models/sum/rollback", "/ui/models/sum/rollback", version="1", before="2")
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/models/sum/versions?now=1")
    (command,) = COMMANDS
    assert (command.action, command.before, command.version) == (RepositoryAction.ROLL_BACK, 2, 1)
    for hostile in ({}, {"version": "7"}, {"version": "../1"}):
        assert browser.send("/ui/models/sum/rollback", "/ui/models/sum/rollback", **hostile).status_code == 404
    assert len(COMMANDS) == 1


def test_a_form_that_is_sent_again_changes_nothing(settings: Settings, models: Path, redis: Redis) -> None:
    for version in (2, 3):
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version)
    (models / "sum" / "aliases.json").write_text('{"current": 3, "previous": 2, "_history": [1]}')
    app = create_app(settings, lambda command: HANDLERS[command.action](CommandParts(settings, redis), command))
    browser, repository = Browser(app.test_client()), Repository(models)

    def sent(path: str, **fields: str) -> int:
        return browser.send(f"/ui/models/sum/{path}", "/ui/models/sum/versions/1/promote", **fields).status_code

    assert sent("rollback", version="2", before="3") == 303
    assert repository.aliases("sum") == {"current": 2, "previous": 1}
    assert sent("rollback", version="2", before="3") == 409, "Back, and the button once more"
    assert sent("rollback", version="2") == 409, "without the version that it was"
    assert sent("versions/3/promote", before="1") == 409, "meanwhile somebody else has gone back"
    assert repository.aliases("sum") == {"current": 2, "previous": 1}
    again = browser.send("/ui/models/sum/rollback", "/ui/models/sum/rollback", version="2", before="3")
    assert "'current' of 'sum' names version 2 by now, not 3; look at its versions" in unescape(again.text)
    page = words(browser.get("/ui/models/sum/versions").text)
    assert "Roll back to version 1" in page and "back to version 3" not in page


@pytest.mark.parametrize("facts", [{}, {"comparison": COMPARISON}], ids=["no report", "a comparison"])
def test_a_current_version_that_cannot_be_read_is_replaced(
    browser: Browser, models: Path, facts: dict[str, Any]
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    (models / "sum" / "aliases.json").write_text('{"current": 1, "previous": 2}')
    facts_of(models, 2, facts)
    (models / "sum" / "versions" / "1" / "manifest.json").write_text("{")
    for path in ("versions/2/promote", "rollback"):
        form = browser.get(f"/ui/models/sum/{path}")
        assert form.status_code == 200
        assert "Version 1 cannot be read, so nobody can say" in form.text and "no caller has to" not in form.text


def facts_of(models: Path, version: int, facts: dict[str, Any]) -> None:
    (folder := Repository(models).files("sum", version).folder / "report").mkdir()
    (folder / "report.json").write_text(json.dumps(facts))


def test_a_promotion_to_other_inputs_names_what_callers_have_to_change(browser: Browser, models: Path) -> None:
    same = "no caller has to change anything"
    for version, inputs in ((2, "ab"), (3, "ab"), (4, ("a", "rooms")), (5, "a")):
        write_version(models, "sum", Sum(), numbers(*inputs), version=version)
    (models / "sum" / "aliases.json").write_text('{"current": 2}')
    pages = [words(browser.get(f"/ui/models/sum/versions/{version}/promote").text) for version in (3, 4, 5)]
    assert same in pages[0] and same not in pages[1] + pages[2]
    assert "Callers have to change something" in pages[1] and "'rooms' is needed. Not used any more: b." in pages[1]
    assert "Callers have to" not in pages[2] and "Not used any more: b." in pages[2]


def test_an_imported_version_has_no_rows_of_unknown_data(browser: Browser, models: Path) -> None:
    data = TrainingData("not known; imported: a Pipeline, from mine.pkl", 0, "x")
    for version in (2, 3):
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, training_data=data)
    for path in ("versions/2", "compare?a=2&b=1", "compare?a=2&b=3", "versions/2/promote"):
        page = words(browser.get(f"/ui/models/sum/{path}").text)
        assert "0 rows" not in page, path
    assert "trained on not known; imported: a Pipeline, from mine.pkl" in words(
        browser.get("/ui/models/sum/versions/2").text
    )


SHEETS = ["gateway/pages/static/style.css", "trainer/report/style.css"]
TEXTS = {
    **dict.fromkeys(("ink", "soft", "accent"), ("page", "card", "hover")),
    **{colour: ("page", "card", f"{colour}-back") for colour in ("good", "bad", "warn")},
    "on-accent": ("accent",),
}


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    digits = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sheet", SHEETS)
def test_text_has_enough_contrast(sheet: str, scheme: int) -> None:
    schemes = re.findall(r":root\s*{([^}]*)}", (PROJECT / sheet).read_text())
    colours = dict(re.findall(r"--([\w-]+): #(\w+)", schemes[scheme]))
    pairs = [(text, back) for text, backs in TEXTS.items() for back in backs if {text, back} <= {*colours}]
    assert len(pairs) > 12
    for text, back in pairs:
        dark, light = sorted((luminance(colours[text]), luminance(colours[back])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


def test_a_refused_version_that_became_current_was_promoted_by_hand(browser: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    facts_of(models, 2, {"refused": "it is worse"})
    (models / "sum" / "aliases.json").write_text('{"current": 1, "previous": 2}')
    page = browser.get("/ui/models/sum/versions").text
    assert "not promoted it is worse" in words(page) and "Undo: back to version 2" in page
    assert 'class="button" href="/ui/models/sum/versions/2/promote"' in browser.get("/ui/models/sum/versions/2").text
    (models / "sum" / "aliases.json").write_text('{"current": 2, "previous": 1}')
    for path in ("versions", "versions/2"):
        page = words(browser.get(f"/ui/models/sum/{path}").text)
        assert "Promoted by hand; its training had not made it current: it is worse" in page, path
        assert "not promoted" not in page.lower() and "Roll back to version 1" in page and "current: version 2" in page


def test_a_report_is_framed_by_our_pages_alone_and_runs_nothing(browser: Browser, models: Path) -> None:
    folder = Repository(models).files("sum", 1).folder / "report"
    folder.mkdir()
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    other = Repository(models).files("sum", 2).folder / "report"
    other.mkdir()
    for path in (folder, other):
        (path / "report.html").write_text(f"<p>the report</p>{STATUS}")
    framed = '<iframe class="report" src="/ui/models/sum/versions/1/report?framed=1"'
    page = browser.get("/ui/models/sum/versions/1").text
    assert framed in page and 'sandbox="allow-same-origin"' in page
    report = browser.get("/ui/models/sum/versions/1/report?framed=1")
    policy = report.headers["Content-Security-Policy"]
    assert "the report" in report.text and "frame-ancestors 'self'" in policy
    assert policy.endswith("sandbox allow-same-origin"), "without allow-scripts"
    assert "default-src 'none'" in policy and "script-src" not in policy


def test_a_report_has_a_head_only_outside_the_frame(browser: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    for version in (1, 2):
        (folder := Repository(models).files("sum", version).folder / "report").mkdir()
        (folder / "report.html").write_text(f"<header><h1>sum</h1>{STATUS}</header>")
    hidden = "header > h1, .live, "
    assert hidden in browser.get("/ui/models/sum/versions/1/report?framed=1").text
    alone = browser.get("/ui/models/sum/versions/1/report")
    policy = alone.headers["Content-Security-Policy"]
    assert hidden not in alone.text and policy.endswith("sandbox") and "frame-ancestors 'none'" in policy
    assert 'href="/ui/models/sum/versions/2/report"' in alone.text  # one under /v1 would not take the session


def test_the_traffic_of_a_model_without_any_says_what_to_do(browser: Browser) -> None:
    page = browser.get("/ui/models/sum/traffic?period=1d")
    assert "No requests to sum in 1 day" in words(page.text) and 'href="/ui/models/sum/api"' in page.text
    assert browser.get("/ui/models/sum/traffic?period=x").status_code == 400


def test_pages_have_no_inline_script_and_one_style_which_their_policy_names(browser: Browser) -> None:
    for path in ("/ui", "/ui/models/sum", "/ui/models/sum/versions", "/ui/models/sum/versions/1", "/ui/models/sum/api"):
        page = browser.client.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert re.findall(r"<script(?![^>]* src=)| style=| on[a-z]+=", page.text) == []
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
        assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []


def test_an_asset_is_kept_for_good_under_its_own_address_only(browser: Browser) -> None:
    (address,) = re.findall(r'src="(/ui/assets/[0-9a-f]{12}/app\.js)"', browser.get("/ui").text)
    assert "immutable" in browser.get(address).headers["Cache-Control"]
    assert browser.get("/ui/assets/0123456789ab/app.js").headers["Cache-Control"] == "no-store"
    assert browser.get("/ui/assets/0123456789ab/../layout.py").status_code == 404


def test_an_asset_is_sent_compressed_to_a_browser_that_takes_it(browser: Browser) -> None:
    (address,) = re.findall(r'src="(/ui/assets/[0-9a-f]{12}/parts\.js)"', browser.get("/ui").text)
    plain = browser.get(address, headers={"Accept-Encoding": "br, gzip;q=0"})
    small = browser.get(address, headers={"Accept-Encoding": "gzip, br"})
    assert "Content-Encoding" not in plain.headers and small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == plain.data and len(small.data) < len(plain.data) / 2
    assert small.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


def test_a_process_compiles_all_templates_and_reads_ahead_before_somebody_asks_for_a_page() -> None:
    program = """
import threading
from contract.model.repository import Repository
from gateway.pages.layout import _ENVIRONMENT
from gateway.server.wsgi import application
Repository.read_ahead = lambda repository: print("ahead", end=" ")
application()
for thread in threading.enumerate():
    if thread.name == "pages":
        thread.join()
print({name for _, name in _ENVIRONMENT.cache} ^ set(_ENVIRONMENT.list_templates()))
"""
    environment = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1"}
    command = [sys.executable, "-c", program]
    assert (
        subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True).stdout == "ahead set()\n"
    )


def test_a_curve_shows_the_first_requests_at_once_and_never_falls_because_a_minute_has_only_begun() -> None:
    quiet, busy, begun = Point(0), Point(60, answered=90, refused=10), Point(120, answered=7)
    assert drawn([quiet, begun]) == [quiet, begun]
    assert drawn([quiet, busy, begun]) == [quiet, busy]
    assert drawn([quiet, busy, busy]) == [quiet, busy, busy]


def test_the_traffic_of_a_model_counts_rows_of_files_beside_requests(browser: Browser, redis: Redis) -> None:
    record(browser.client, redis)
    browser.client.post("/v1/models/sum/predict", json={"a": "x"})
    redis.hset("mg:counts:model:sum", "refused_rows_total", 19_808)
    record(browser.client, redis)
    shown = browser.get("/ui/models/sum/traffic?period=1d").text
    assert "100 % of the requests; and 19,808 rows of files" in shown
    assert "errors" not in words(shown) and "time ( UTC )" in words(shown)


def test_a_model_is_removed_once_its_name_is_entered_and_restored_from_the_next_page(
    settings: Settings, redis: Redis
) -> None:
    browser = Browser(
        create_app(
            settings, lambda command: HANDLERS[command.action](CommandParts(settings, redis), command)
        ).test_client()
    )
    assert 'href="/ui/models/sum/remove"' in browser.get("/ui/models/sum/versions").text
    page = "/ui/models/sum/remove"
    assert "For 30 days you can restore all of it" in words(browser.get(page).text)
    wrong = browser.send(page, page, confirm="som")
    assert wrong.status_code == 400 and Repository(settings.models_dir).versions("sum")
    done = browser.send(page, page, confirm="sum")
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/models/sum/restore")
    assert not Repository(settings.models_dir).versions("sum")
    page = "/ui/models/sum/restore"
    assert "sum is removed" in words(browser.get(page).text)
    assert browser.send(page, page).headers["Location"] == "/ui/models/sum/versions"
    assert Repository(settings.models_dir).versions("sum")
    assert browser.get(page).status_code == 404
