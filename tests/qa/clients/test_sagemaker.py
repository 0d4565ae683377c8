"""boto3's client of SageMaker's runtime, unchanged."""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
import numpy as np
import pytest

from tests.qa.clients.conftest import IRIS, LOAN, Modelgate, answered

AWS = {"region_name": "eu-central-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


def runtime(modelgate: Modelgate) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=modelgate.address, **AWS)


def csv_of(*rows: dict[str, object]) -> str:
    return "".join(",".join(map(str, row.values())) + "\n" for row in rows)


@pytest.fixture
def client(modelgate: Modelgate) -> Any:
    return runtime(modelgate)


POOR = {**LOAN, "Credit_History": 0.0}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", csv_of(LOAN, POOR)),
        ("text/csv", ",".join(LOAN) + "\n" + csv_of(LOAN, POOR)),
        ("text/csv", csv_of(LOAN, POOR).rstrip("\n")),
        ("application/json", json.dumps({"instances": [LOAN, POOR]})),
        ("application/json", json.dumps([list(LOAN.values()), list(POOR.values())])),
        ("application/jsonlines", f"{json.dumps(LOAN)}\n{json.dumps(POOR)}\n"),
    ],
    ids=["csv", "csv with a header", "csv without a last line end", "json", "lists", "jsonlines"],
)
def test_invoke_endpoint(modelgate: Modelgate, client: Any, kind: str, body: str) -> None:
    expected = answered(modelgate, "loan", [LOAN, POOR])
    answer = client.invoke_endpoint(EndpointName="loan", ContentType=kind, Body=body)
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "loan@1"
    found = {"predictions": expected["predictions"], "probabilities": expected["probabilities"]}
    assert json.loads(answer["Body"].read()) == found


def test_a_single_row(modelgate: Modelgate, client: Any) -> None:
    expected = answered(modelgate, "iris", IRIS)
    answer = client.invoke_endpoint(EndpointName="iris", ContentType="text/csv", Body="5.1,3.5,1.4,0.2")
    assert json.loads(answer["Body"].read())["predictions"] == expected["predictions"]


def test_csv_out(modelgate: Modelgate, client: Any) -> None:
    expected = answered(modelgate, "loan", [LOAN, POOR])
    asked = {"EndpointName": "loan", "ContentType": "text/csv", "Body": csv_of(LOAN, POOR)}
    answer = client.invoke_endpoint(**asked, Accept="text/csv")
    assert answer["ContentType"] == "text/csv"
    assert answer["Body"].read().decode().split() == [str(one) for one in expected["predictions"]]
    verbose = client.invoke_endpoint(**asked, Accept="text/csv; verbose=true")["Body"].read().decode().split()
    assert [line.split(",")[1:] for line in verbose] == [
        [str(one) for one in row.values()] for row in expected["probabilities"]
    ]


def test_a_variant_is_a_version(client: Any) -> None:
    asked = {"EndpointName": "iris", "ContentType": "text/csv", "Body": "5.1,3.5,1.4,0.2"}
    assert client.invoke_endpoint(**asked, TargetVariant="1")["InvokedProductionVariant"] == "iris@1"
    with pytest.raises(client.exceptions.ClientError, match="no version or alias '9'"):
        client.invoke_endpoint(**asked, TargetVariant="9")


def test_errors_are_those_of_the_service(client: Any) -> None:
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.invoke_endpoint(EndpointName="iris", ContentType="text/csv", Body="5.1,3.5,1.4,x")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert "row 0: 'petal_width' must be a finite number" in refused.value.response["Error"]["Message"]


def array(rows: list[list[float]]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(rows))
    return file.getvalue()


FLOWERS = [list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]]


def test_arrays_in_and_out(modelgate: Modelgate, client: Any) -> None:
    """As SKLearnPredictor's serializer and deserializer write and read them."""
    asked = {"ContentType": "application/x-npy", "Accept": "application/x-npy", "Body": array(FLOWERS)}
    answer = client.invoke_endpoint(EndpointName="iris", **asked)
    assert answer["ContentType"] == "application/x-npy"
    found = np.load(io.BytesIO(answer["Body"].read()), allow_pickle=False)
    assert found.tolist() == answered(modelgate, "iris", FLOWERS)["predictions"]


def test_lines_of_json_out(modelgate: Modelgate, client: Any) -> None:
    asked = {"EndpointName": "loan", "ContentType": "text/csv", "Body": csv_of(LOAN, POOR)}
    lines = client.invoke_endpoint(**asked, Accept="application/jsonlines")["Body"].read().splitlines()
    expected = answered(modelgate, "loan", [LOAN, POOR])
    rows = zip(expected["predictions"], expected["probabilities"], strict=True)
    assert [json.loads(line) for line in lines] == [{"prediction": one, "probabilities": of} for one, of in rows]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_response_stream_has_the_same_answer(client: Any, accept: str) -> None:
    rows = json.dumps(FLOWERS * 5_000)
    whole = client.invoke_endpoint(EndpointName="iris", ContentType="application/json", Accept=accept, Body=rows)
    streamed = client.invoke_endpoint_with_response_stream(
        EndpointName="iris", ContentType="application/json", Accept=accept, Body=rows
    )
    assert (streamed["ContentType"], streamed["InvokedProductionVariant"]) == (accept, "iris@1")
    parts = [event["PayloadPart"]["Bytes"] for event in streamed["Body"]]
    assert b"".join(parts) == whole["Body"].read()


def test_a_target_model_is_the_model(client: Any) -> None:
    asked = {"EndpointName": "all", "ContentType": "text/csv", "Body": "5.1,3.5,1.4,0.2"}
    assert client.invoke_endpoint(**asked, TargetModel="iris.tar.gz")["InvokedProductionVariant"] == "iris@1"
    with pytest.raises(client.exceptions.ClientError, match="did you mean 'iris'"):
        client.invoke_endpoint(**asked, TargetModel="irs.tar.gz")


@pytest.mark.parametrize(
    "option", [{"TargetContainerHostname": "x"}, {"InferenceComponentName": "x"}, {"EnableExplanations": "x"}]
)
def test_options_that_would_change_the_answer_are_refused(client: Any, option: dict[str, str]) -> None:
    with pytest.raises(client.exceptions.ClientError, match="is not supported; leave out"):
        client.invoke_endpoint(EndpointName="iris", ContentType="text/csv", Body="5.1,3.5,1.4,0.2", **option)


def test_an_asynchronous_invocation_is_refused(client: Any) -> None:
    with pytest.raises(client.exceptions.ClientError, match="there is no address"):
        client.invoke_endpoint_async(EndpointName="iris", InputLocation="s3://a/b")
