"""Methods over HTTP: a gateway and workers answer with the method that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from sklearn.covariance import EllipticEnvelope
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from contract.model.signature import PREDICT, AnswerForm, Method, Output, OutputKind, Signature
from tests.flow.estimators import Methodical
from tests.stacks.gateways import Site, start_site
from tests.support import SOAK, numbers, until, write_version

METHODS = (
    PREDICT,
    Method("decision_function", AnswerForm.NUMBER),
    Method("transform", AnswerForm.NAMED, ("minus", "plus")),
)


OUTLIERS = EllipticEnvelope(random_state=0).fit([[float(number)] for number in range(20)])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    models: Path = tmp_path_factory.mktemp("models")
    signature = Signature(numbers("a"), (Output(OutputKind.NUMBER),), methods=METHODS)
    write_version(models, "many", Methodical(0.01), numbers("a"), by_value=True, signature=signature)
    scaler = StandardScaler().fit([[1.0], [2.0], [6.0]])
    transform = Method("transform", AnswerForm.NAMED, ("a",))
    signature = Signature(numbers("a"), (), methods=(transform,))
    write_version(models, "scaler", scaler, numbers("a"), signature=signature, example={"a": 6.0})
    outputs = (Output(OutputKind.NUMBER, name="price"), Output(OutputKind.NUMBER, name="rent"))
    both = LinearRegression().fit([[1.0], [2.0]], [[2.0, 1.0], [4.0, 0.5]])
    write_version(models, "both", both, numbers("a"), signature=Signature(numbers("a"), outputs))
    outliers = Output(OutputKind.CLASS, (-1, 1), scores=True)
    write_version(models, "outliers", OUTLIERS, numbers("a"), outliers)
    with start_site(tmp_path_factory.mktemp("site"), models) as site:
        site.cluster.start("first").ready()
        yield site


def post(site: Site, path: str, body: Any, wait: int = 0) -> requests.Response:
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    return requests.post(f"{site.gateway.address}/v1/models/{path}", json=body, headers=headers, timeout=60)


def expected(method: str, value: float) -> Any:
    answers = {"predict": 2 * value, "decision_function": 3 * value, "transform": {"minus": -value, "plus": value}}
    return answers[method]


@pytest.mark.slow
def test_methods_are_mixed_under_load_and_never_in_one_call(site: Site) -> None:
    calls = [(METHODS[number % 3].name, float(number)) for number in range(240 * SOAK)]

    def ask(method: str, value: float) -> dict[str, Any]:
        job: dict[str, Any] = post(site, f"many/{method}", {"a": value}, wait=30).json()
        return job

    with ThreadPoolExecutor(24) as clients:
        jobs = list(clients.map(ask, *zip(*calls, strict=True)))
    assert [job["output"]["predictions"] for job in jobs] == [[expected(*call)] for call in calls]
    # Jobs waited for each other, and those of one method were scored together.
    assert max(job["metrics"]["batch_rows"] for job in jobs) > 1


def test_a_method_takes_many_rows_and_every_dialect(site: Site) -> None:
    whole = post(site, "many/transform", {"columns": {"a": [1, 2]}}, wait=20).json()
    assert whole["output"] == {
        "predictions": [{"minus": -1.0, "plus": 1.0}, {"minus": -2.0, "plus": 2.0}],
        "probabilities": None,
        "ids": None,
    }
    refused = post(site, "many/decision_function", [{"a": "x"}])
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "not_a_number")


def test_several_outputs_are_objects_and_scores_stand_beside_predictions(site: Site) -> None:
    both = post(site, "both/predict", [[1], [2]], wait=20).json()["output"]["predictions"]
    assert [list(row) for row in both] == [["price", "rent"]] * 2
    assert [value for row in both for value in row.values()] == pytest.approx([2.0, 1.0, 4.0, 0.5])
    headers = {"Prefer": "wait=20, handling=lenient"}
    url = f"{site.gateway.address}/v1/models/outliers/predict"
    output = requests.post(url, json=[[10.0], ["x"], [500.0]], headers=headers, timeout=60).json()["output"]
    inside, outside = OUTLIERS.decision_function([[10.0], [500.0]]).tolist()
    assert (output["predictions"], output["scores"]) == ([1, None, -1], [inside, None, outside])
    assert [error["row"] for error in output["errors"]] == [1]


def test_an_unknown_method_is_404_and_lists_those_that_there_are(site: Site) -> None:
    refused = post(site, "many/score_samples", {"a": 1})
    assert refused.status_code == 404
    problem = refused.json()
    assert problem["code"] == "unknown_method"
    assert problem["methods"] == ["predict", "decision_function", "transform"]
    assert "has no score_samples; it has 'predict', 'decision_function', 'transform'" in problem["detail"]


def test_predict_of_a_transformer_says_where_to_send_the_rows(site: Site) -> None:
    query = site.gateway.get("/v1/models/scaler/predict?a=1")
    for refused in (post(site, "scaler/predict", {"a": 1}), query):
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_method")
        assert refused.json()["detail"].endswith("send the rows to /v1/models/scaler/transform")


def test_the_example_of_a_transformer_works_when_posted_to_its_first_method(site: Site) -> None:
    model = site.gateway.get("/v1/models/scaler").json()
    first = model["signature"]["methods"][0]["name"]
    assert (model["signature"]["outputs"], first) == ([], "transform")
    job = post(site, f"scaler/{first}", model["example"], wait=20).json()
    scaler = StandardScaler().fit([[1.0], [2.0], [6.0]])
    assert job["output"]["predictions"] == [{"a": scaler.transform([[6.0]])[0, 0]}]
    assert [item["name"] for item in site.gateway.get("/v1/models").json()["items"]] == [
        "both",
        "many",
        "outliers",
        "scaler",
    ]
    until(lambda: site.gateway.get("/health/ready").json()["status"] == "ok", "it is ready")
