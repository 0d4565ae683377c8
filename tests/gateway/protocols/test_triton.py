"""What Triton adds to the Open Inference Protocol: statistics, configurations, classification, refusals of streams."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.model.signature import Field, Kind, Output, OutputKind
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.protocols import triton
from tests.gateway.conftest import scorer
from tests.support import Sum, write_version

INFER = "/v2/models/sum/infer"
TENSOR = {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}


@pytest.fixture
def loan(settings: Settings) -> FlaskClient:
    """A client of a gateway with a classifier, too."""
    inputs = [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)]
    output = Output(OutputKind.CLASS, labels=("no", "yes", "perhaps"), probabilities=True)
    write_version(settings.models_dir, "loan", Sum(), inputs, output)
    return create_app(settings).test_client()


@pytest.mark.waits
@pytest.mark.parametrize("binary", [True, False])
def test_classification_answers_with_the_most_likely_classes(loan: FlaskClient, redis: Redis, binary: bool) -> None:
    chances = [{"no": 0.2, "yes": 0.7, "perhaps": 0.1}, {"no": 0.5, "yes": 0.0, "perhaps": 0.5}]
    parameters = {"classification": 2, "binary_data": binary}
    asked = {"inputs": [TENSOR], "outputs": [{"name": "predict_proba", "parameters": parameters}]}
    with scorer(redis, lambda _: PredictionOutcome(["yes", "no"], chances, [], 0.5, 1)):
        answer = loan.post("/v2/models/loan/infer", json=asked)
    texts = ["0.700000:1:yes", "0.200000:0:no", "0.500000:0:no", "0.500000:2:perhaps"]
    if binary:
        assert answer.data.endswith(b"".join(len(text).to_bytes(4, "little") + text.encode() for text in texts))
        return
    (output,) = answer.json["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == ("BYTES", [2, 2], texts)


@pytest.mark.parametrize(
    ("answers", "most", "expected"),
    [
        ([0.5, None], 3, [["0.500000:0"], ["nan:0"]]),
        ([[1, 3], [2, 1]], 1, [["3.000000:1"], ["2.000000:0"]]),
        ([[[1.0, 2.0], [4.0, 3.0]]], 2, [["4.000000:2", "3.000000:3"]]),
    ],
)
def test_any_numbers_may_be_classified(answers: list[Any], most: int, expected: list[list[str]]) -> None:
    assert triton.classified(answers, most) == expected


@pytest.mark.waits
@pytest.mark.parametrize("classes", [0.5, -1, "2", True])
def test_a_wrong_number_of_classes_is_400(loan: FlaskClient, classes: object) -> None:
    output = {"name": "predict_proba", "parameters": {"classification": classes}}
    answer = loan.post("/v2/models/loan/infer", json={"inputs": [TENSOR], "outputs": [output]})
    assert (answer.status_code, "outputs[0]: classification must be" in answer.json["error"]) == (400, True)


@pytest.mark.waits
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_shared_memory_is_refused(loan: FlaskClient, side: str) -> None:
    parameters = {"shared_memory_region": "a", "shared_memory_byte_size": 8}
    sides: dict[str, list[dict[str, object]]] = {"inputs": [{**TENSOR}], "outputs": [{"name": "predict"}]}
    sides[side][0]["parameters"] = parameters
    answer = loan.post("/v2/models/loan/infer", json=sides)
    assert (answer.status_code, f"{side}[0] is in shared memory" in answer.json["error"]) == (400, True)


@pytest.mark.waits
def test_text_cannot_be_classified(loan: FlaskClient, redis: Redis) -> None:
    output = {"name": "predict", "parameters": {"classification": 1}}
    with scorer(redis, lambda _: PredictionOutcome(["yes", "no"], None, [], 0.5, 1)):
        answer = loan.post("/v2/models/loan/infer", json={"inputs": [TENSOR], "outputs": [output]})
    assert (answer.status_code, "no numbers to order" in answer.json["error"]) == (400, True)


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_output_0_is_the_first_method(client: FlaskClient) -> None:
    answer = client.post(INFER, json={"inputs": [TENSOR], "outputs": [{"name": "output-0"}]})
    (output,) = answer.json["outputs"]
    assert (output["name"], output["data"]) == ("output-0", [3.0, 7.0])


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_a_request_without_an_id_gets_one(client: FlaskClient) -> None:
    first, second = (client.post(INFER, json={"inputs": [TENSOR]}).json["id"] for _ in range(2))
    assert first and second and first != second
    assert client.post(INFER, json={"inputs": [TENSOR], "id": "7"}).json["id"] == "7"


def test_the_configuration_has_the_tensors_of_the_metadata(loan: FlaskClient) -> None:
    config = loan.get("/v2/models/loan/config").json
    assert config == loan.get("/v2/models/loan/versions/1/config").json
    assert (config["name"], config["platform"], config["backend"]) == ("loan", "sklearn", "sklearn")
    assert config["input"] == [{"name": name, "data_type": "TYPE_FP64", "dims": [1]} for name in ("a", "b")]
    assert config["output"][0] == {"name": "predict", "data_type": "TYPE_STRING", "dims": [1]}
    assert config["output"][1] == {"name": "predict_proba", "data_type": "TYPE_FP64", "dims": [3]}
    assert loan.get("/v2/models/sun/config").status_code == 404


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_statistics_count_what_a_version_has_answered(loan: FlaskClient) -> None:
    for _ in range(2):
        assert loan.post(INFER, json={"inputs": [TENSOR]}).status_code == 200
    for path in ("", "/ready", "/config"):  # which are no predictions
        assert loan.get(f"/v2/models/sum{path}").status_code == 200
    loan.application.extensions["outbox"].flush()

    def counted(path: str) -> Any:
        return {
            item["name"]: item["inference_stats"]["success"]["count"] for item in loan.get(path).json["model_stats"]
        }

    assert counted("/v2/models/sum/stats") == {"sum": 2}
    assert counted("/v2/models/sum/versions/1/stats") == {"sum": 2}
    assert counted("/v2/models/stats") == {"loan": 0, "sum": 2}
    (item,) = loan.get("/v2/models/sum/stats").json["model_stats"]
    assert item["inference_stats"]["success"]["ns"] > 0
    assert loan.get("/v2/models/sun/stats").status_code == 404


@pytest.mark.parametrize("verb", ["generate", "generate_stream", "infer_stream"])
def test_streams_are_refused_in_words(client: FlaskClient, verb: str) -> None:
    for path in (f"/v2/models/sum/{verb}", f"/v2/models/sum/versions/1/{verb}"):
        answer = client.post(path, json={"text_input": "x"})
        assert (answer.status_code, answer.json["error"]) == (
            400,
            f"{verb} is for models that answer piece by piece; POST /v2/models/sum/infer",
        )


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v2/nothing", "error"),
        ("/v2/systemsharedmemory/status", "error"),
        ("/endpoints/sum/async-invocations", "Message"),
        ("/endpoints/x", "Message"),
    ],
)
def test_an_address_that_a_protocol_lacks_is_refused_in_its_shape(client: FlaskClient, path: str, member: str) -> None:
    answer = client.post(path, json={})
    assert (answer.status_code, list(answer.json)) == (404, [member])
    assert client.get("/v3").json["code"] == "not_found"


def test_another_verb_is_refused_in_the_shape_of_the_protocol(client: FlaskClient) -> None:
    for path in (INFER, "/v2/repository/index", "/v1/models/sum:nothing"):
        answer = client.put(path)
        assert (answer.status_code, list(answer.json)) == (405, ["error"])


def test_the_index_may_leave_out_what_is_not_ready(settings: Settings) -> None:
    write_version(settings.models_dir, "bad", Sum(), [Field("a", Kind.NUMBER)])
    (settings.models_dir / "bad" / "versions" / "1" / "manifest.json").write_text("{")
    client = create_app(settings).test_client()

    def names(body: Any) -> list[str]:
        return [item["name"] for item in client.post("/v2/repository/index", json=body).json]

    assert names({}) == ["bad", "sum"]
    assert names({"ready": True}) == ["sum"]
    assert client.post("/v2/repository/index").status_code == 200
    assert client.post("/v2/repository/index", json=[1]).status_code == 400
