"""A model of texts and a model of records, dropped into the inbox and asked over HTTP."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from contract.settings import Settings
from tests.flow.test_tutorial import pattern, steps
from tests.stacks.gateways import Site, start_site
from tests.stacks.trainer_process import trainer_process
from tests.support import PROJECT, outside_of_make
from trainer.importing.inbox.inbox import Inbox

LOCAL = "http://127.0.0.1:8080"
MAILS = ["win money now", "free cash offer", "meeting at noon", "see you at lunch"] * 6
VISITS: list[dict[str, Any]] = [
    {"city": "Rome", "visits": 1.5, "tags": ["new", "big"]},
    {"city": "Oslo", "visits": 2},
    {"visits": 3},
    {"city": "Rome"},
] * 6
LABELS = ["spam", "spam", "ham", "ham"] * 6
ASKED = ["win a free meeting", "lunch", 'ünknown, "quoted"\nwords']
SPAM = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(MAILS, LABELS)
TRIPS = make_pipeline(DictVectorizer(), LogisticRegression()).fit(VISITS, LABELS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    models: Path = tmp_path_factory.mktemp("models")
    refused: list[str] = []

    def promote(model: str, version: int, alias: str) -> None:
        (models / model / "aliases.json").write_text(json.dumps({alias: version}))

    (models / "inbox").mkdir()
    for name, model in (("spam", SPAM), ("trips", TRIPS)):
        (models / "inbox" / f"{name}.pkl").write_bytes(pickle.dumps(model))
    inbox = Inbox(Settings(models_dir=models), promote, refused.append)
    inbox.import_files()
    inbox.import_files()
    assert not list((models / "inbox").glob("rejected/*")), refused
    folder = tmp_path_factory.mktemp("site")
    settings = {"spool_dir": folder / "spool", "state_dir": folder, "allow_upload": 1}
    with start_site(folder, models, **settings) as site:
        site.cluster.start("first").ready()
        yield site


def output(response: requests.Response) -> Any:
    assert response.status_code == 200, response.text
    job = response.json()
    assert job["status"] == "succeeded", job
    return job["output"]["predictions"], job["output"]["probabilities"]


def expected(model: Any, rows: list[Any]) -> Any:
    """The pipeline's own answers, to the last bit."""
    labels = model.classes_.tolist()
    tables = [dict(zip(labels, row, strict=True)) for row in model.predict_proba(rows).tolist()]
    return model.predict(rows).tolist(), tables


def post(site: Site, model: str, body: Any = None, **more: Any) -> requests.Response:
    address = f"{site.gateway.address}/v1/models/{model}/predict"
    headers = {"Prefer": "wait=30", **more.pop("headers", {})}
    return requests.post(address, json=body, headers=headers, timeout=60, **more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        ASKED,
        {"instances": ASKED},
        {"inputs": ASKED},
        [{"text": text} for text in ASKED],
        [[text] for text in ASKED],
        {"columns": {"text": ASKED}},
        {"dataframe_split": {"columns": ["text"], "data": [[text] for text in ASKED]}},
        json.dumps(ASKED),
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_texts_are_answered_as_the_pipeline_answers_them(site: Site, body: Any) -> None:
    assert output(post(site, "spam", body)) == expected(SPAM, ASKED)


def test_one_text_is_answered_in_json_in_a_form_in_a_query_and_in_a_csv(site: Site) -> None:
    text = ASKED[0]
    csv = {"data": f"mail\n{text}\n", "headers": {"Content-Type": "text/csv"}}
    for more in ({"body": text}, {"body": {"text": text}}, {"body": {"inputs": text}}, {"data": {"text": text}}, csv):
        assert output(post(site, "spam", **more)) == expected(SPAM, [text])
    query = requests.get(f"{site.gateway.address}/v1/models/spam/predict", {"text": text}, timeout=60)
    assert output(query) == expected(SPAM, [text])


def test_the_examples_work_when_posted(site: Site) -> None:
    for name, model in (("spam", SPAM), ("trips", TRIPS)):
        example = site.gateway.get(f"/v1/models/{name}").json()["example"]
        row = example["text"] if name == "spam" else example
        assert output(post(site, name, example)) == expected(model, [row])


@pytest.mark.parametrize(
    "body",
    [VISITS[:4], {"instances": VISITS[:4]}, {"inputs": VISITS[:4]}, {"dataframe_records": VISITS[:4]}],
    ids=lambda body: json.dumps(body)[:40],
)
def test_records_are_answered_as_the_pipeline_answers_them(site: Site, body: Any) -> None:
    assert output(post(site, "trips", body)) == expected(TRIPS, VISITS[:4])


def test_records_are_answered_in_columns_in_a_form_and_in_a_csv(site: Site) -> None:
    rows = [{"city": "Rome", "visits": 3.0}, {"city": "Oslo", "visits": 1.0}]
    csv = {"data": "city,visits\nRome,3\nOslo,1\n", "headers": {"Content-Type": "text/csv"}}
    for more in ({"body": {"columns": {"city": ["Rome", "Oslo"], "visits": [3, 1]}}}, csv):
        assert output(post(site, "trips", **more)) == expected(TRIPS, rows)
    assert output(post(site, "trips", data={"city": "Rome", "visits": "3"})) == expected(TRIPS, rows[:1])


def test_requests_of_texts_and_records_name_what_is_wrong(site: Site) -> None:
    refused = post(site, "spam", ["buy", 5])
    assert (refused.status_code, refused.json()["errors"][0]["row"]) == (422, 1)
    refused = post(site, "trips", [{"visits": "many"}])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "visits")
    lenient = post(site, "spam", ["win money", None], headers={"Prefer": "wait=30, handling=lenient"})
    assert lenient.json()["output"]["predictions"] == ["spam", None]
    warned = post(site, "trips", {"visits": 1, "colour": "red"}).json()["warnings"]
    assert warned == ["ignored names that the model does not know: 'colour'"]


@pytest.mark.slow
def test_the_spam_filter_of_the_documentation_is_served_as_pasted(site: Site, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "how-to" / "serve-a-spam-filter.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "spam.py").write_text(code)
    for name in (".venv", "Makefile"):
        (tmp_path / name).symlink_to(PROJECT / name)
    models = site.gateway.models
    environment = {
        **outside_of_make(),
        "MODELGATE_URL": site.gateway.address,
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'client/src'}",
    }
    commands = steps(page)
    programs = [command.split()[0] for command, _ in commands]
    assert programs == [".venv/bin/python", ".venv/bin/modelgate", "curl", "curl"]
    with trainer_process(site.server, models, site.gateway.settings):
        run_as_pasted(commands, site, tmp_path, environment)


def run_as_pasted(commands: list[tuple[str, str]], site: Site, folder: Path, environment: dict[str, str]) -> None:
    for command, shown in commands:
        pasted = command.replace(LOCAL, site.gateway.address)  # spam is there already, as an older version
        done = subprocess.run(
            ["sh", "-c", pasted], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        expected = pattern(shown.replace('"version":1', '"version":2'))
        assert re.fullmatch(expected, done.stdout.strip(), re.DOTALL), (command, done.stdout, done.stderr)
