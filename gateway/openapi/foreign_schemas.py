"""The JSON schemas of other protocols."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http.operations import TEXT, Schema
from gateway.openapi.schema_parts import ANYTHING, BOOLEAN, INTEGER, OBJECT, array, record, ref
from gateway.protocols.tensors import TYPES

_SHAPE = array(INTEGER)
_SENT_SHAPE = array({"type": "integer", "minimum": 0}, minItems=1, maxItems=2)
_CONFIGURED = array(ref("V2Tensor"))

FOREIGN: Mapping[str, Schema] = {
    "ForeignError": record({"error": TEXT}),
    "InferRequest": record(
        {"inputs": array(ref("TensorIn"), minItems=1)},
        {"id": TEXT, "parameters": OBJECT, "outputs": array(ref("RequestedOutput"))},
    ),
    "RequestedOutput": record({"name": TEXT}, {"parameters": OBJECT}),
    "InferResponse": record(
        {"model_name": TEXT, "model_version": TEXT, "outputs": array(ref("TensorOut"))}, {"id": TEXT}
    ),
    "KserveExplanations": record({"explanations": array(OBJECT)}),
    "MlflowError": record({"error_code": TEXT, "message": TEXT}),
    "MlflowInput": record(
        {},
        {
            "dataframe_split": OBJECT,
            "dataframe_records": array(OBJECT),
            "instances": ANYTHING,
            "inputs": ANYTHING,
            "params": OBJECT,
        },
        description="Exactly one of the four shapes of rows. `params.predict_method` names another method.",
    ),
    "SageMakerError": record({"Message": TEXT}, {"OriginalStatusCode": INTEGER, "OriginalMessage": TEXT}),
    "TensorIn": record(
        {"name": TEXT, "datatype": {**TEXT, "enum": list(TYPES)}, "shape": _SENT_SHAPE},
        {"data": array(ANYTHING), "parameters": OBJECT},
    ),
    "TensorMetadata": record({"name": TEXT, "datatype": TEXT, "shape": _SHAPE}, {"parameters": OBJECT}),
    "TensorOut": record(
        {"name": TEXT, "datatype": TEXT, "shape": _SHAPE}, {"data": array(ANYTHING), "parameters": OBJECT}
    ),
    "V2Index": array(ref("V2IndexItem")),
    "V2IndexItem": record({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}),
    "V2IndexRequest": record({}, {"ready": BOOLEAN}),
    "V2Live": record({"live": BOOLEAN}),
    "V2Load": record({"name": TEXT, "load": BOOLEAN}),
    "V2Model": record(
        {
            "name": TEXT,
            "versions": array(TEXT),
            "platform": TEXT,
            "inputs": array(ref("TensorMetadata")),
            "outputs": array(ref("TensorMetadata")),
        }
    ),
    "V2ModelReady": record({"name": TEXT, "ready": BOOLEAN}),
    "V2Models": record({"models": array(TEXT)}),
    "V2Ready": record({"ready": BOOLEAN}),
    "V2Server": record({"name": TEXT, "version": TEXT, "extensions": array(TEXT)}),
    "V2Config": record(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "version_policy": OBJECT,
            "max_batch_size": INTEGER,
            "input": _CONFIGURED,
            "output": _CONFIGURED,
        }
    ),
    "V2Statistics": record(
        {
            "model_stats": array(ref("V2ModelStatistics")),
        }
    ),
    "V2ModelStatistics": record(
        {
            "name": TEXT,
            "version": TEXT,
            "inference_count": INTEGER,
            "execution_count": INTEGER,
            "inference_stats": ref("V2InferenceStatistics"),
            "batch_stats": array(OBJECT),
        }
    ),
    "V2InferenceStatistics": record({"success": ref("V2Success"), "fail": ref("V2Failures")}),
    "V2Success": record({"count": INTEGER, "ns": INTEGER}),
    "V2Failures": record({"count": INTEGER}),
    "V2Tensor": record({"name": TEXT, "data_type": TEXT, "dims": _SHAPE}),
}
