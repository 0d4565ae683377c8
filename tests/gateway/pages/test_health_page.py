"""The page Health of a model: what has moved, how good the answers were, and the form for outcomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state import waited_jobs
from contract.model.row_profile import profile_of
from contract.model.signature import Output, OutputKind, Signature
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.serving.prediction_log import LogAccess
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.observed import gateway, make_scorer, models, observer, scoring, settings
from tests.gateway.pages.browsers import Browser, words
from tests.stacks.observer_process import ObserverProcess
from tests.support import Sum, numbers, write_version

__all__ = ["make_scorer", "models", "observer", "scoring", "settings"]

PAGE = "/ui/models/sum/health"
WAIT = {"Prefer": "wait=30"}
ME = Key("k-me", "ada", "team", frozenset(Scope))


class Positive:
    """Answers whether a number is positive, and is always sure by 80 %."""

    classes_ = (0, 1)

    def predict(self, matrix: Any) -> Any:
        return (matrix[:, 0] > 0).astype(int)

    def predict_proba(self, matrix: Any) -> Any:
        positive = np.where(matrix[:, 0] > 0, 0.8, 0.2)
        return np.column_stack([1 - positive, positive])


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return gateway(replace(settings, admin_key=ADMIN_KEY))


@pytest.fixture
def me(client: FlaskClient, redis: Redis) -> Browser:
    return Browser.with_key(client, redis, ME)


def log_everything(me: Browser) -> Caller:
    """Switch the log on, and return a program that asks the model."""
    me.send("/ui/models/sum/logging", "/ui/models/sum/log", share="100", leave_out="", keep_days="30")
    return Caller(me.client)


def send(me: Browser, content: str | bytes) -> Any:
    """Send the form with outcomes: a text that was pasted, or a file."""
    fields = {"text": content} if isinstance(content, str) else {"file": (BytesIO(content), "paid.csv")}
    return me.post(f"/ui/models/sum/outcomes?token={me.token(PAGE)}", data=fields, content_type="multipart/form-data")


@pytest.mark.slow
def test_a_column_that_has_moved_is_pictured(
    me: Browser, settings: Settings, observer: ObserverProcess, scoring: None
) -> None:
    inputs, random = numbers("a", "b"), np.random.default_rng(0)
    trained = random.normal(0, 1, (1000, 2)).tolist()
    profile = profile_of(Signature(inputs, (Output(OutputKind.NUMBER),)), trained, [sum(row) for row in trained])
    write_version(settings.models_dir, "sum", Sum(), inputs, version=2, profile=profile)
    program = log_everything(me)
    for rows in random.normal(0, 1, (80, 2, 2)) + [50, 0]:
        answer = program("POST", "/v1/models/sum/predict", json=rows.tolist(), headers=WAIT)
        assert answer.status_code == 200
    html = me.get(PAGE).text
    shown = words(html)
    assert "2 of 3 columns no longer look like the training rows." in shown
    assert "a just now" in shown
    assert "prediction the answer just now" in shown
    assert re.search("What was found so far .* a just now at row [0-9]+ goes on", shown)
    pictures = html.split("<figure")[1:3]
    for picture, column in zip(pictures, ("a", "prediction"), strict=True):
        assert f"{column}: share of the training rows and of the rows now in each bin" in picture
        assert re.search(r"> [\d.]+ 0 % 100 % null", words(picture.split("<table")[1]))
    assert "Version 1 is not watched: nothing says what its training saw" in words(me.get(f"{PAGE}?version=1").text)


@pytest.mark.slow
def test_a_version_that_nothing_is_known_of_is_compared_with_its_first_rows(
    redis: Redis, settings: Settings, observer: ObserverProcess, scoring: None
) -> None:
    me = Browser.with_key(gateway(replace(settings, admin_key=ADMIN_KEY, max_queue_rows=2_000)), redis, ME)
    program, random = log_everything(me), np.random.default_rng(0)

    def ask(count: int, mean: float = 0.0) -> None:
        rows = random.normal(0, 1, (count, 2)) + [mean, 0]
        answer = program("POST", "/v1/models/sum/predict", json=rows.tolist(), headers=WAIT)
        assert answer.status_code == 200

    ask(500)
    shown = words(me.get(PAGE).text)
    assert "Version 1 is not watched: nothing says what its training saw, so later rows will be compared" in shown
    assert "with its first 1,000, and 500 are logged." in shown
    ask(500)
    for _ in range(4):
        ask(50, mean=50)
    assert program("GET", "/v1/models/sum/health").json["profile"] == "first_rows"
    page = words(me.get(PAGE).text)
    assert "Version 1 is compared with its first 1,000 logged rows, because nothing says what its training saw." in page
    assert "2 of 3 columns no longer look like the first rows." in page
    assert "since at first now nulls" in page and "at training" not in page and "training rows" not in page


def test_outcomes_of_the_form_are_measured_beside_the_promise(
    me: Browser, settings: Settings, observer: ObserverProcess, scoring: None
) -> None:
    classes = Output(OutputKind.CLASS, labels=(0, 1), probabilities=True)
    metrics, inputs = {"accuracy": 0.9}, numbers("a")
    write_version(settings.models_dir, "sum", Positive(), inputs, classes, version=2, id_field="key", metrics=metrics)
    program = log_everything(me)
    for number in range(1, 41):
        row = {"a": number % 2 - 0.5, "key": str(number)}
        assert program("POST", "/v1/models/sum/predict", json=row, headers=WAIT).status_code == 200
    empty = words(me.get(PAGE).text)
    assert "outcomes 0 of 40 predictions have one so far" in empty
    assert "accuracy by the probabilities alone 0.800" in empty
    assert "No outcome of version 2 is known yet." in empty
    kept = me.get(send(me, "id,outcome\n1,1\n2,0\n3,perhaps\nnobody,1\n").headers["Location"])
    assert "4 new, 0 corrected, 0 repeated." in words(kept.text)
    lines = "".join(f"{number},{number % 2 if number > 10 else 1}\n" for number in range(3, 41))
    kept = me.get(send(me, f"id,outcome\n1,1\n{lines}".encode()).headers["Location"])
    shown = words(kept.text)
    assert "37 new, 1 corrected, 1 repeated." in shown
    assert "On 40 outcomes, the accuracy is 0.900 " in shown
    assert 'class="card verdict good"' in kept.text
    assert "1 outcome is of no logged row of sum" in shown
    assert "accuracy 0.900 0.769 to 0.960 40 0.900" in shown
    assert "Once there are hundreds of outcomes, of more than one hour, a chart shows how it changes." in shown
    assert "80.0 % 80.0 % 58.4 % to 91.9 % 20" in words(kept.text.split("Calibration as a table")[1])
    audited = program("GET", "/v1/audit?action=add_outcomes").json["items"]
    assert [(one["action"], one["model"]) for one in audited] == [("add_outcomes", "sum")] * 2


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        ("", 422, "Nothing was sent; choose a CSV of outcomes, or paste its lines."),
        ("id,paid\nx,1", 422, "'paid' is not a key of an outcome"),
        ('id,outcome\n"x', 400, "is not CSV"),
        (b"id,outcome\n" + b"x,1\n" * 10_001, 422, "1 to 10,000 outcomes; send more in several requests, as modelgate"),
        (b"id,outcome\n" + b"x,1\n" * 2**20, 413, "larger than 4 MB; send up to 10,000 outcomes at once, as modelgate"),
    ],
)
def test_a_form_that_cannot_be_used_says_why(me: Browser, content: str | bytes, status: int, says: str) -> None:
    with_page = send(me, content)
    assert with_page.status_code == status
    assert says in words(with_page.text)


def enriched(method: Callable[..., dict[str, Any]], **members: Any) -> Callable[..., dict[str, Any]]:
    return lambda *arguments: {**method(*arguments), **members}


def alarm(column: str, raised: int, ended: int | None = None, output: bool = False) -> Mapping[str, Any]:
    def moment(row: int) -> dict[str, Any]:
        return {"row": row, "time": "2026-01-02T03:04:05+00:00"}

    return {
        "column": column,
        "output": output,
        "raised": moment(raised),
        "ended": None if ended is None else moment(ended),
    }


@pytest.mark.slow
def test_alarms_that_have_ended_and_refused_requests_are_listed(
    me: Browser, observer: ObserverProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [
        {"field": "<a>", "owner": "risk", "requests": 1204, "share": 0.083, "since": "2026-01-02T03:04:05+00:00"},
        {"field": "", "owner": "", "requests": 1, "share": 0.001, "since": "2026-01-02T03:04:05+00:00"},
    ]
    history = [alarm("b", 900), alarm("b", 700, 0), alarm("prediction", 300, 500, output=True)]
    degraded = [{"finding": "accuracy is low", "raised": "2026-01-02T03:04:05+00:00", "ended": None}]
    found = {"state": "degraded", "findings": ["accuracy is low"], "watched": ["b"], "degraded": degraded}
    found |= {"history": history, "refused": refused}
    monkeypatch.setattr(LogAccess, "health", enriched(LogAccess.health, **found))
    page = me.get(PAGE).text
    shown = words(page)
    assert "Worse than promised: accuracy is low." in shown
    assert "Worse than promised accuracy is low on 2 January 2026 goes on" in shown
    assert "b on 2 January 2026 at row 900 goes on" in shown
    assert "b on 2 January 2026 at row 700 on 2 January 2026 other inputs are left out since" in shown
    assert "prediction the answer on 2 January 2026 at row 300 on 2 January 2026 at row 500" in shown
    assert "Requests are refused because of 2 fields." in shown
    assert "<a> risk 1,204 8.3 % on 2 January 2026" in shown
    assert "a field that the model does not have everybody 1 0.1 %" in shown
    assert "&lt;a&gt;" in page


def test_periods_are_drawn_and_said(me: Browser, observer: ObserverProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = {"value": 0.81, "low": 0.7, "high": 0.9, "outcomes": 100}
    metrics = {"accuracy": estimate}
    days = [{"start": f"2026-01-0{day}T00:00:00Z", "predictions": 120, "outcomes": 100} for day in (1, 2)]
    measured = {
        "predictions": 240,
        "outcomes": 200,
        "unknown": 0,
        "unread": {"<i>": 2},
        "unusable": 3,
        "estimated": None,
        "headline": "accuracy",
        "metrics": metrics,
        "not_measured": {"roc_auc": "no outcome is 1 yet"},
        "promise": {"metric": "accuracy", "promised": 0.92, "low": 0.9, "high": 0.94, "p_value": 0.001, "worse": True},
        "period": "day",
        "periods": [{**day, "metrics": metrics} for day in days],
        "calibration": None,
        "slices": [
            {"name": "town = Ulm", "outcomes": 60, "loss": 1.2, "elsewhere": 0.3, "p_value": 1e-9, "metrics": metrics}
        ],
    }
    monkeypatch.setattr(LogAccess, "measure", lambda *_: measured)
    page = me.get(PAGE).text
    shown = words(page)
    assert "On 200 outcomes, the accuracy is 0.810 , worse than the 0.920 that the report promised" in shown
    assert "1 Jan: 0.810 (0.700 to 0.900), 100 of 120 outcomes" in shown
    assert "town = Ulm 1.200 0.300 0.810 60 < 0.001" in shown
    assert "Left out, because the model has no such label or number: <i> (2)" in shown
    assert "3 rows have an outcome, but no prediction that can be measured." in shown
    assert "No ROC AUC: no outcome is 1 yet." in shown
    assert 'class="promise" x2="100%"' in page
    assert 'class="card verdict"' in page


@pytest.mark.slow
def test_a_key_without_the_scope_sees_no_outcome(
    client: FlaskClient, redis: Redis, observer: ObserverProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(LogAccess, "measure")
    reader = Browser.with_key(client, redis, replace(ME, id="k-reader", scopes=frozenset({Scope.READ})))
    page = reader.get(PAGE).text
    assert "To see how good the answers were, a key needs the scope log ." in words(page)
    assert "<form" not in page.split("<main")[1]
    token = reader.token()
    refused = reader.post(f"/ui/models/sum/outcomes?token={token}", data={"text": "id,outcome\nx,1"})
    assert refused.status_code == 403


@pytest.mark.slow
def test_nothing_is_known_of_a_model_that_is_not_logged(me: Browser, observer: ObserverProcess) -> None:
    shown = words(me.get(PAGE).text)
    assert "Nothing is logged of sum ; switch the log on , and its rows are watched." in shown
    assert "Nothing is measured: nothing is logged of this version." in shown
    assert me.get(f"{PAGE}?version=7").status_code == 404


def test_without_an_observer_the_page_says_that_predictions_go_on(me: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    page = me.get(PAGE)
    assert page.status_code == 200
    assert "The log cannot be read now: no observer answers" in words(page.text)
    assert send(me, "id,outcome\nx,1").status_code == 503


@pytest.mark.slow
def test_the_newest_version_is_shown_if_none_is_current(
    me: Browser, settings: Settings, observer: ObserverProcess
) -> None:
    write_version(settings.models_dir, "sum", Sum(), numbers("a", "b"), version=2, current=False)
    (settings.models_dir / "sum" / "aliases.json").unlink()
    page = me.get(PAGE).text
    assert "Is version 2 still good?" in words(page)
    assert "<option selected>2</option><option>1</option>" in page
