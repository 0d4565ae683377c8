"""KServe's gRPC client, unchanged, in an environment of its own: `kserve` pins what the other clients do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import kserve  # type: ignore[import-not-found]
import numpy as np
import pytest

from tests.qa.clients.conftest import IRIS, LOAN, GrpcModelgate, answered, soon

FLOWERS = np.array([list(IRIS.values()), [6.7, 3.0, 5.2, 2.3]])


def asked(modelgate: GrpcModelgate, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Return what `ask` makes of a client."""

    async def run() -> Any:
        async with kserve.InferenceGRPCClient(modelgate.target) as client:
            return await ask(client)

    return asyncio.run(run())


def request(model: str, inputs: list[Any]) -> Any:
    return kserve.InferRequest(model_name=model, infer_inputs=inputs, request_id="7")


@pytest.mark.parametrize("binary", [True, False])
def test_infer(with_grpc: GrpcModelgate, binary: bool) -> None:
    flowers = kserve.InferInput("x", list(FLOWERS.shape), "FP64")
    flowers.set_data_from_numpy(FLOWERS, binary_data=binary)
    response = asked(with_grpc, lambda client: client.infer(request("iris", [flowers])))
    (output,) = response.outputs
    expected = answered(with_grpc, "iris", FLOWERS.tolist())["predictions"]
    assert (response.id, output.name, output.as_numpy().ravel().tolist()) == ("7", "predict", expected)


@pytest.mark.parametrize("binary", [True, False])
def test_texts_and_numbers(with_grpc: GrpcModelgate, binary: bool) -> None:
    kinds = {str: ("BYTES", np.object_), int: ("INT64", np.int64), float: ("FP64", np.float64)}
    inputs = []
    for name, value in LOAN.items():
        datatype, dtype = kinds[type(value)]
        inputs.append(kserve.InferInput(name, [1], datatype))
        inputs[-1].set_data_from_numpy(np.array([value], dtype), binary_data=binary)
    response = asked(with_grpc, lambda client: client.infer(request("loan", inputs)))
    expected = answered(with_grpc, "loan", LOAN)
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    assert outputs["predict_proba"] == [list(row.values()) for row in expected["probabilities"]]


def test_readiness(with_grpc: GrpcModelgate) -> None:
    assert asked(with_grpc, lambda client: client.is_server_live())
    assert soon(lambda: asked(with_grpc, lambda client: client.is_server_ready()))
    assert asked(with_grpc, lambda client: client.is_model_ready("iris"))
    assert not asked(with_grpc, lambda client: client.is_model_ready("nothing"))


def test_errors(with_grpc: GrpcModelgate) -> None:
    flowers = kserve.InferInput("x", list(FLOWERS.shape), "FP64")
    flowers.set_data_from_numpy(FLOWERS)
    with pytest.raises(grpc.RpcError) as refused:
        asked(with_grpc, lambda client: client.infer(request("nothing", [flowers])))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
