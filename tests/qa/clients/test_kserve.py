"""KServe's V1 protocol as its documentation calls it, with requests: it has no light client of its own."""

from __future__ import annotations

import requests

from tests.qa.clients.conftest import IRIS, LOAN, Modelgate, answered

FLOWERS = [list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]]


def test_predict(modelgate: Modelgate) -> None:
    for model, instances in (("iris", FLOWERS), ("loan", [LOAN, {**LOAN, "Credit_History": 0.0}])):
        expected = answered(modelgate, model, instances)
        answer = requests.post(
            f"{modelgate.address}/v1/models/{model}:predict", json={"instances": instances}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected["predictions"]
        assert answer.json().get("probabilities") == expected["probabilities"]


def test_readiness_and_the_list(modelgate: Modelgate) -> None:
    ready = requests.get(f"{modelgate.address}/v1/models/iris", timeout=60).json()
    assert (ready["name"], ready["ready"]) == ("iris", True)
    assert requests.get(f"{modelgate.address}/v1/models", timeout=60).json()["models"] == ["boston", "iris", "loan"]


def test_errors(modelgate: Modelgate) -> None:
    unknown = requests.post(f"{modelgate.address}/v1/models/nothing:predict", json={"instances": FLOWERS}, timeout=60)
    assert unknown.status_code == 404
    assert "there are: boston, iris, loan" in unknown.json()["error"]
    wrong = requests.post(
        f"{modelgate.address}/v1/models/iris:predict", json={"instances": [[1, 2, 3, "x"]]}, timeout=60
    )
    assert wrong.status_code == 422
    assert wrong.json()["error"].startswith("row 0: 'petal_width' must be a finite number")


def test_explanations_versions_and_the_root(modelgate: Modelgate) -> None:
    address = modelgate.address
    explained = requests.post(f"{address}/v1/models/iris:explain", json={"instances": FLOWERS}, timeout=120).json()
    assert [set(one["contributions"]) for one in explained["explanations"]] == [{*IRIS}] * 2
    version = requests.post(f"{address}/v1/models/iris/versions/1:predict", json={"instances": FLOWERS}, timeout=60)
    assert version.json()["predictions"] == answered(modelgate, "iris", FLOWERS)["predictions"]
    assert requests.get(address, timeout=60).json() == {"status": "alive"}
    for method, path in (("POST", "iris:regress"), ("PUT", "iris:predict"), ("POST", "iris/versions/9:predict")):
        refused = requests.request(method, f"{address}/v1/models/{path}", json={"instances": FLOWERS}, timeout=60)
        assert (refused.status_code in (404, 405), list(refused.json())) == (True, ["error"])
