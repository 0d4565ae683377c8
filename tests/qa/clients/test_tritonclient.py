"""tritonclient[http], unchanged: JSON and binary tensors, metadata, health, the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.qa.clients.conftest import IRIS, LOAN, Modelgate, answered, soon

FLOWERS = np.array([list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]])
DTYPES = {str: np.object_, int: np.int64, float: np.float64}


@pytest.fixture
def client(modelgate: Modelgate) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(modelgate.host) as connected:
        yield connected


def tensor(name: str, values: np.ndarray, binary: bool) -> InferInput:
    made = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def columns(binary: bool, *rows: dict[str, object]) -> list[InferInput]:
    """One input a column, with the dtype of its values."""
    return [
        tensor(name, np.array([[row[name]] for row in rows], DTYPES[type(value)]), binary)
        for name, value in rows[0].items()
    ]


def test_health_and_metadata(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert soon(client.is_server_ready)
    assert client.is_model_ready("loan")
    assert client.is_model_ready("loan", "1")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("iris")
    assert (metadata["name"], metadata["versions"]) == ("iris", ["1"])
    assert [one["name"] for one in metadata["inputs"]] == list(IRIS)
    assert {one["datatype"] for one in metadata["inputs"]} == {"FP64"}
    assert [one["name"] for one in metadata["outputs"]] == ["predict"]
    probabilities = client.get_model_metadata("loan")["outputs"][1]
    assert (probabilities["name"], probabilities["shape"]) == ("predict_proba", [-1, 2])


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_one_tensor_of_all_columns(
    modelgate: Modelgate, client: InferenceServerClient, binary_in: bool, binary_out: bool | None
) -> None:
    expected = answered(modelgate, "iris", FLOWERS.tolist())
    outputs = None if binary_out is None else [InferRequestedOutput("predict", binary_data=binary_out)]
    result = client.infer("iris", [tensor("input-0", FLOWERS, binary_in)], outputs=outputs, request_id="7")
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]
    assert result.get_response()["id"] == "7"
    assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_one_tensor_a_column_with_texts_and_numbers(
    modelgate: Modelgate, client: InferenceServerClient, binary_in: bool, binary_out: bool | None
) -> None:
    poor = {**LOAN, "Gender": "Female", "Credit_History": 0.0}
    expected = answered(modelgate, "loan", [LOAN, poor])
    wanted = ["predict_proba", "predict"]
    outputs = None if binary_out is None else [InferRequestedOutput(name, binary_data=binary_out) for name in wanted]
    result = client.infer("loan", columns(binary_in, LOAN, poor), outputs=outputs)
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]
    assert result.as_numpy("predict_proba").tolist() == [list(row.values()) for row in expected["probabilities"]]


def test_another_method_is_an_output(modelgate: Modelgate, client: InferenceServerClient) -> None:
    expected = answered(modelgate, "iris", FLOWERS.tolist(), "decision_function")["predictions"]
    outputs = [InferRequestedOutput("decision_function")]
    result = client.infer("iris", [tensor("x", FLOWERS, binary=True)], outputs=outputs)
    found = result.as_numpy("decision_function").tolist()
    assert found == [list(row.values()) if isinstance(row, dict) else row for row in expected]


@pytest.mark.parametrize("binary", [True, False])
def test_nan_is_a_missing_value(modelgate: Modelgate, client: InferenceServerClient, binary: bool) -> None:
    expected = answered(modelgate, "loan", {**LOAN, "LoanAmount": None, "Credit_History": None})
    result = client.infer("loan", columns(binary, {**LOAN, "LoanAmount": np.nan, "Credit_History": np.nan}))
    assert result.as_numpy("predict_proba").tolist() == [list(row.values()) for row in expected["probabilities"]]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int32, np.int64, np.uint8, np.uint16, np.uint64])
def test_every_type_of_number(modelgate: Modelgate, client: InferenceServerClient, dtype: type) -> None:
    flowers = np.array([[5, 3, 1, 0], [6, 3, 5, 2]], dtype)
    expected = answered(modelgate, "iris", flowers.astype(float).tolist())
    result = client.infer("iris", [tensor("x", flowers, binary=True)])
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]


def test_an_error_names_row_and_field(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("loan", columns(True, LOAN, {**LOAN, "Gender": "male"}))
    assert refused.value.status() == "422"
    assert "row 1: 'Gender' must be" in refused.value.message()


def test_an_unknown_model_is_refused_in_words(client: InferenceServerClient) -> None:
    assert not client.is_model_ready("nothing")
    with pytest.raises(InferenceServerException) as refused:
        client.infer("nothing", [tensor("x", FLOWERS, binary=True)])
    assert refused.value.status() == "404"
    assert "there are: boston, iris, loan" in refused.value.message()


def test_the_repository(client: InferenceServerClient) -> None:
    index = {one["name"]: one for one in client.get_model_repository_index()}
    assert set(index) == {"boston", "iris", "loan"}
    assert index["loan"] == {"name": "loan", "version": "1", "state": "READY", "reason": ""}
    client.load_model("loan")
    with pytest.raises(InferenceServerException, match="does not unload models"):
        client.unload_model("loan")


@pytest.mark.parametrize("request_coding", ["gzip", "deflate", None])
@pytest.mark.parametrize("response_coding", ["gzip", "deflate", None])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_both_ways(
    modelgate: Modelgate,
    client: InferenceServerClient,
    request_coding: str | None,
    response_coding: str | None,
    binary: bool,
) -> None:
    flowers = np.repeat(FLOWERS, 100, axis=0)
    expected = answered(modelgate, "iris", flowers.tolist())
    result = client.infer(
        "iris",
        [tensor("x", flowers, binary)],
        outputs=[InferRequestedOutput("predict", binary_data=binary)],
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]


def test_classification_statistics_and_configuration(client: InferenceServerClient) -> None:
    outputs = [InferRequestedOutput("predict_proba", class_count=1)]
    result = client.infer("loan", columns(True, LOAN), outputs=outputs)
    (best,) = result.as_numpy("predict_proba").ravel().tolist()
    value, place, label = best.decode().split(":")
    assert (0.5 <= float(value) <= 1, place, label) == (True, "1", "1")
    (statistics,) = client.get_inference_statistics("loan")["model_stats"]
    assert (statistics["name"], statistics["version"]) == ("loan", "1")
    names = {one["name"] for one in client.get_inference_statistics()["model_stats"]}
    assert names == {"boston", "iris", "loan"}
    config = client.get_model_config("iris")
    assert [one["data_type"] for one in config["input"]] == ["TYPE_FP64"] * 4
    assert config["max_batch_size"] > 0


def test_output_0_a_generated_id_and_booleans(modelgate: Modelgate, client: InferenceServerClient) -> None:
    result = client.infer("iris", [tensor("x", FLOWERS, binary=True)], outputs=[InferRequestedOutput("output-0")])
    expected = answered(modelgate, "iris", FLOWERS.tolist())["predictions"]
    assert result.as_numpy("output-0").ravel().tolist() == expected
    assert result.get_response()["id"]
    flags = client.infer("iris", [tensor("x", FLOWERS > 2, binary=True)]).as_numpy("predict")
    assert flags.ravel().tolist() == answered(modelgate, "iris", (FLOWERS > 2).astype(int).tolist())["predictions"]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_system_shared_memory_status(),
        lambda client: client.get_trace_settings(),
        lambda client: client.get_log_settings(),
        lambda client: client.unload_model("nothing"),
    ],
)
def test_what_there_is_not_is_refused_in_words(client: InferenceServerClient, call: Callable[[Any], Any]) -> None:
    with pytest.raises(InferenceServerException) as refused:
        call(client)
    assert refused.value.status() == "404"
    assert refused.value.message()
