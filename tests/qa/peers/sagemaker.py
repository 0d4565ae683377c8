"""What each operation and option of boto3's `sagemaker-runtime` asks of SageMaker."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import boto3  # type: ignore[import-not-found]
import numpy as np
from botocore.exceptions import ClientError  # type: ignore[import-not-found]

from tests.qa.clients.conftest import IRIS, LOAN
from tests.qa.peers.suite import Server, Suite, raised

SUITE = Suite("boto3 sagemaker-runtime")

AWS = {"region_name": "eu-central-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
FLOWERS = [[*IRIS.values()], [6.7, 3.0, 5.2, 2.3]]
CSV, JSON, LINES, NPY = "text/csv", "application/json", "application/jsonlines", "application/x-npy"
STATUS = "the code is that of SageMaker, the status that of our own errors"
NOT_OF_MODEL = "no model is asked with such a request, so it is a ValidationError"
Options = dict[str, Any]


def runtime(server: Server) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=server.address, **AWS)


def csv_of(*rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(FLOWERS))
    return file.getvalue()


def read(kind: str, body: bytes) -> list[Any]:
    """Return the predictions in an answer, as the deserializers of the SDK read it."""
    if kind == JSON:
        found: list[Any] = json.loads(body)["predictions"]
    elif kind == CSV:
        found = [int(line[0]) for line in csv.reader(body.decode().splitlines())]
    elif kind == LINES:
        found = [json.loads(line)["prediction"] for line in body.splitlines()]
    else:
        found = np.load(io.BytesIO(body), allow_pickle=False).tolist()
    return found


def invoke(server: Server, **options: Any) -> Any:
    asked = {"EndpointName": "iris", "ContentType": CSV, "Body": csv_of(*FLOWERS), **options}
    return runtime(server).invoke_endpoint(**asked)


def stream(server: Server, **options: Any) -> Any:
    asked = {"EndpointName": "iris", "ContentType": CSV, "Body": csv_of(*FLOWERS), **options}
    return runtime(server).invoke_endpoint_with_response_stream(**asked)


def code_of(ask: Callable[[], object]) -> tuple[int, str]:
    """Return the status and code of an error of the service, which has a message."""
    error: Any = raised(ask)
    assert isinstance(error, ClientError), repr(error)
    assert error.response["Error"]["Message"]
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def _answers(name: str, options: Options, kind: str = JSON, expected: object = None, differs: str = "") -> None:
    @SUITE.case(f"invoke_endpoint with {name}", differs=differs)
    def _(server: Server) -> None:
        answer = invoke(server, **options)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert answer["ContentType"].partition(";")[0] == kind
        assert answer["InvokedProductionVariant"]
        found = read(kind, answer["Body"].read())
        assert found == ([0, 2] if expected is None else expected), found


def _refused(name: str, options: Options, *expected: tuple[int, str], differs: str = "") -> None:
    @SUITE.case(f"invoke_endpoint with {name}", differs=differs)
    def _(server: Server) -> None:
        found = code_of(lambda: invoke(server, **options))
        assert found in expected, found


# Bodies: what the SDK's serializers write.

_LOANS = csv_of(LOAN.values(), {**LOAN, "Credit_History": 0.0}.values())
_answers("CSV", {})
_answers("CSV of one row", {"Body": csv_of(FLOWERS[0])}, expected=[0])
_answers("CSV without a last line end", {"Body": csv_of(*FLOWERS).rstrip()})
_answers("CSV with texts and numbers", {"EndpointName": "loan", "Body": _LOANS}, expected=[1, 0])
_answers("CSV of a type with parameters", {"ContentType": f"{CSV}; charset=utf-8"})
_answers("JSON as a list of rows", {"ContentType": JSON, "Body": json.dumps(FLOWERS)})
_answers("JSON with instances", {"ContentType": JSON, "Body": json.dumps({"instances": FLOWERS})})
_answers("JSON with inputs", {"ContentType": JSON, "Body": json.dumps({"inputs": FLOWERS})})
_answers("lines of JSON", {"ContentType": LINES, "Body": "\n".join(map(json.dumps, FLOWERS))})
_answers("an array", {"ContentType": NPY, "Body": array()})
_answers("a file as its body", {"Body": io.BytesIO(csv_of(*FLOWERS).encode())})

# Answers: what the SDK's deserializers read.

for _kind in (JSON, CSV, LINES, NPY):
    _answers(f"Accept {_kind}", {"Accept": _kind}, _kind)
_answers("Accept */*", {"Accept": "*/*"})
_answers("Accept of several types", {"Accept": f"{CSV}, {JSON}"}, CSV)

# Options.

_answers("CustomAttributes", {"CustomAttributes": "a=b"})
_answers("InferenceId", {"InferenceId": "peers-7"})
_answers("TargetVariant", {"TargetVariant": "1"})
_answers("TargetModel", {"EndpointName": "all", "TargetModel": "iris.tar.gz"})
_answers("PrefixAwareId", {"PrefixAwareId": "a"})
_answers("SessionId", {"SessionId": "a"})
_answers(
    "TargetContainerHostname",
    {"TargetContainerHostname": "first"},
    differs="a model has one container; what would choose another is refused",
)
_answers(
    "InferenceComponentName",
    {"InferenceComponentName": "first"},
    differs="TargetModel chooses the model; what would choose another is refused",
)
_answers(
    "EnableExplanations",
    {"EnableExplanations": "`true`"},
    differs="explanations have an address of their own; the option is refused, not ignored",
)


@SUITE.case("invoke_endpoint names the variant that has answered")
def _(server: Server) -> None:
    assert invoke(server, TargetVariant="1")["InvokedProductionVariant"] == "iris@1"


@SUITE.case("invoke_endpoint has the id of the request")
def _(server: Server) -> None:
    answer = invoke(server)
    assert answer["ResponseMetadata"]["RequestId"]


@SUITE.case("invoke_endpoint opens a session", differs="models keep no state, so a session changes nothing")
def _(server: Server) -> None:
    assert invoke(server, SessionId="NEW_SESSION")["NewSessionId"]


# Errors.

INVALID, OF_MODEL = (400, "ValidationError"), (424, "ModelError")
_refused("an unknown endpoint", {"EndpointName": "nothing"}, INVALID, differs=STATUS)
_refused("an unknown variant", {"TargetVariant": "99"}, INVALID, differs=STATUS)
_refused("an unknown target model", {"TargetModel": "nothing.tar.gz"}, INVALID, differs=STATUS)
_refused("an empty body", {"Body": b""}, INVALID, OF_MODEL)
_refused("a body that is no JSON", {"ContentType": JSON, "Body": "no json"}, OF_MODEL, differs=NOT_OF_MODEL)
_refused(
    "a type that the model does not read", {"ContentType": "image/png", "Body": b"png"}, OF_MODEL, differs=NOT_OF_MODEL
)
_refused("a type that the model does not write", {"Accept": "image/png"}, OF_MODEL, differs=NOT_OF_MODEL)
_refused("rows that do not fit", {"Body": "5.1,3.5,1.4,x"}, OF_MODEL, differs=NOT_OF_MODEL)


# The stream.


def _streams(name: str, options: Options, kind: str = JSON, differs: str = "") -> None:
    @SUITE.case(f"invoke_endpoint_with_response_stream with {name}", differs=differs)
    def _(server: Server) -> None:
        answer = stream(server, **options)
        assert answer["ContentType"] == kind
        assert answer["InvokedProductionVariant"] == "iris@1"
        parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
        assert read(kind, b"".join(parts)) == [0, 2]


_streams("CSV", {})
for _kind in (JSON, CSV, LINES, NPY):
    _streams(f"Accept {_kind}", {"Accept": _kind}, _kind)
_streams(
    "TargetVariant, InferenceId and CustomAttributes",
    {"TargetVariant": "1", "InferenceId": "7", "CustomAttributes": "a=b"},
)
_streams("PrefixAwareId", {"PrefixAwareId": "a"})
_streams("SessionId", {"SessionId": "a"})


@SUITE.case("invoke_endpoint_with_response_stream of many rows comes in parts")
def _(server: Server) -> None:
    body = json.dumps(FLOWERS * 40_000)
    answer = stream(server, ContentType=JSON, Body=body)
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert len(parts) > 1
    assert read(JSON, b"".join(parts)) == [0, 2] * 40_000


@SUITE.case("invoke_endpoint_with_response_stream of an unknown endpoint", differs=STATUS)
def _(server: Server) -> None:
    assert code_of(lambda: stream(server, EndpointName="nothing")) == INVALID


@SUITE.case("invoke_endpoint_async", differs="there is no S3 to read rows from and write answers to")
def _(server: Server) -> None:
    answer = runtime(server).invoke_endpoint_async(
        EndpointName="iris", InputLocation="s3://rows/1", ContentType=CSV, InferenceId="7", RequestTTLSeconds=60
    )
    assert (answer["InferenceId"], answer["OutputLocation"].partition(":")[0]) == ("7", "s3")


SUITE.leave_out("needs a model that loads for longer than the request waits", "ModelNotReadyException")
SUITE.leave_out("needs the code of a container that writes them", "CustomAttributes of an answer", "ClosedSessionId")
SUITE.leave_out("needs a dependency of AWS that fails", "InternalDependencyException", "InternalStreamFailure")
SUITE.leave_out("needs a server that breaks off or is overloaded", "ServiceUnavailable", "ModelStreamError")
