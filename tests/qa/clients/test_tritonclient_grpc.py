"""tritonclient[grpc], unchanged: its client, the one for asyncio, and what it sends that is not served."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.qa.clients.conftest import ADMIN_KEY, IRIS, LOAN, GrpcModelgate, answered, soon

FLOWERS = np.array([list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]])
DTYPES = {str: np.object_, int: np.int64, float: np.float64}


@pytest.fixture
def client(with_grpc: GrpcModelgate) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(with_grpc.target) as connected:
        yield connected


def tensor(name: str, values: np.ndarray) -> InferInput:
    made = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values)
    return made


def columns(*rows: dict[str, object]) -> list[InferInput]:
    """One input a column, with the dtype of its values."""
    return [
        tensor(name, np.array([[row[name]] for row in rows], DTYPES[type(value)])) for name, value in rows[0].items()
    ]


def test_health_and_metadata(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert soon(client.is_server_ready)
    assert client.is_model_ready("loan")
    assert client.is_model_ready("loan", "1")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata().name == "modelgate"
    metadata = client.get_model_metadata("iris")
    assert (metadata.name, list(metadata.versions)) == ("iris", ["1"])
    assert [(one.name, one.datatype) for one in metadata.inputs] == [(name, "FP64") for name in IRIS]
    assert client.get_model_metadata("loan", as_json=True)["outputs"][1]["shape"] == ["-1", "2"]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_one_tensor_of_all_columns(
    with_grpc: GrpcModelgate, client: InferenceServerClient, compression: str | None
) -> None:
    expected = answered(with_grpc, "iris", FLOWERS.tolist())
    result = client.infer(
        "iris", [tensor("input-0", FLOWERS)], request_id="7", compression_algorithm=compression, priority=1, timeout=9
    )
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]
    assert (result.get_response().id, result.get_response().model_version) == ("7", "1")


def test_one_tensor_a_column_with_texts_and_numbers(with_grpc: GrpcModelgate, client: InferenceServerClient) -> None:
    poor = {**LOAN, "Gender": "Female", "Credit_History": 0.0}
    expected = answered(with_grpc, "loan", [LOAN, poor])
    outputs = [InferRequestedOutput(name) for name in ("predict_proba", "predict")]
    result = client.infer("loan", columns(LOAN, poor), model_version="current", outputs=outputs)
    assert result.as_numpy("predict").ravel().tolist() == expected["predictions"]
    assert result.as_numpy("predict_proba").tolist() == [list(row.values()) for row in expected["probabilities"]]


def test_answers_that_come_later(with_grpc: GrpcModelgate, client: InferenceServerClient) -> None:
    expected = answered(with_grpc, "iris", FLOWERS.tolist())["predictions"]
    done: queue.Queue[Any] = queue.Queue()
    for _ in range(20):
        client.async_infer("iris", [tensor("x", FLOWERS)], lambda result, error: done.put((result, error)))
    for _ in range(20):
        result, error = done.get(timeout=60)
        assert error is None
        assert result.as_numpy("predict").ravel().tolist() == expected


def test_asyncio(with_grpc: GrpcModelgate) -> None:
    async def ask() -> list[Any]:
        async with aio.InferenceServerClient(with_grpc.target) as client:
            assert await client.is_model_ready("iris")
            results = await asyncio.gather(*[client.infer("iris", [tensor("x", FLOWERS)]) for _ in range(20)])
            return [result.as_numpy("predict").ravel().tolist() for result in results]

    expected = answered(with_grpc, "iris", FLOWERS.tolist())["predictions"]
    assert asyncio.run(ask()) == [expected] * 20


def test_an_error_names_row_and_field(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("loan", columns(LOAN, {**LOAN, "Gender": "male"}))
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "row 1: 'Gender' must be" in refused.value.message()


def test_an_unknown_model_is_refused_in_words(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("nothing", [tensor("x", FLOWERS)])
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert "there are: boston, iris, loan" in refused.value.message()


def test_the_repository(client: InferenceServerClient) -> None:
    index = {one.name: one for one in client.get_model_repository_index().models}
    assert set(index) == {"boston", "iris", "loan"}
    assert (index["loan"].version, index["loan"].state) == ("1", "READY")
    client.load_model("loan")
    with pytest.raises(InferenceServerException, match="does not unload models"):
        client.unload_model("loan")


def test_configuration_and_statistics(client: InferenceServerClient) -> None:
    config = client.get_model_config("iris", as_json=True)["config"]
    assert [one["name"] for one in config["input"]] == list(IRIS)
    assert {one["data_type"] for one in config["input"]} == {"TYPE_FP64"}
    client.infer("iris", [tensor("x", FLOWERS)])
    (statistics,) = client.get_inference_statistics("iris").model_stats
    assert (statistics.name, statistics.version, statistics.execution_count > 0) == ("iris", "1", True)
    assert len(client.get_inference_statistics().model_stats) == 3


def test_what_is_not_served_says_so(client: InferenceServerClient) -> None:
    for ask in (
        client.get_cuda_shared_memory_status,
        client.get_trace_settings,
    ):
        with pytest.raises(InferenceServerException, match="is not served over gRPC; the calls are") as refused:
            ask()
        assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    said: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: said.put(error))
    assert "ModelStreamInfer is not served over gRPC" in str(said.get(timeout=60))
    client.stop_stream()


def test_a_key_in_the_headers(with_grpc: GrpcModelgate, closed_grpc: GrpcModelgate) -> None:
    with InferenceServerClient(closed_grpc.target) as client:
        with pytest.raises(InferenceServerException) as refused:
            client.infer("iris", [tensor("x", FLOWERS)])
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        for headers in ({"authorization": f"Bearer {ADMIN_KEY}"}, {"x-api-key": ADMIN_KEY}):
            assert client.infer("iris", [tensor("x", FLOWERS)], headers=headers).as_numpy("predict").shape == (2, 1)
