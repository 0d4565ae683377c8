"""What Triton adds to the Open Inference Protocol: statistics, model configurations and classification.

`extension_statistics`, `extension_model_configuration` and `extension_classification` in the protocol folder of
https://github.com/triton-inference-server/server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from broker.metrics import table
from broker.metrics.reading import Buckets, Snapshot
from contract.model.manifest import ModelManifest
from gateway.protocols import tensors

EXTENSIONS = ("classification", "model_configuration", "statistics")

_NS = 1_000_000_000
_TYPES = {"BYTES": "TYPE_STRING"}


def statistics(models: Sequence[tuple[str, int]], counted: Snapshot) -> dict[str, object]:
    """Return what versions have answered since Redis was set up. Of the parts of a request's time, only the whole is
    known by version."""
    return {"model_stats": [_statistics(name, version, counted) for name, version in models]}


def _statistics(name: str, version: int, counted: Snapshot) -> dict[str, object]:
    labels = (name, str(version))
    seconds = counted.histograms[table.SECONDS_BY_VERSION].get(labels, Buckets((), 0.0))
    jobs = {key[2]: int(count) for key, count in counted.values[table.JOBS_BY_VERSION].items() if key[:2] == labels}
    answered = sum(seconds.counts)
    return {
        "name": name,
        "version": str(version),
        "inference_count": int(counted.values[table.ROWS_BY_VERSION].get(labels, 0)),
        "execution_count": jobs.get("succeeded", 0),
        "inference_stats": {
            "success": {"count": answered, "ns": round(seconds.sum * _NS)},
            "fail": {"count": jobs.get("failed", 0) + jobs.get("expired", 0)},
        },
        "batch_stats": [],
    }


def configuration(model: ModelManifest, described: Mapping[str, Any], max_rows: int) -> dict[str, object]:
    """Return a model's configuration; `described` is its metadata. Rows are the dimension of batches."""
    return {
        "name": model.name,
        "platform": described["platform"],
        "backend": described["platform"],
        "version_policy": {"specific": {"versions": [model.version]}},
        "max_batch_size": max_rows,
        "input": [_tensor(tensor) for tensor in described["inputs"]],
        "output": [_tensor(tensor) for tensor in described["outputs"]],
    }


def _tensor(described: Mapping[str, Any]) -> dict[str, object]:
    datatype = described["datatype"]
    name = _TYPES.get(datatype, f"TYPE_{datatype}")
    return {"name": described["name"], "data_type": name, "dims": described["shape"][1:]}


def classified(answers: Sequence[Any], most: int) -> list[list[str]]:
    """Return the `most` highest values of each row as `value:index`, or `value:index:label` of answers by label.

    Raises `ValueError` for answers that are no numbers, or of different sizes.
    """
    shape, values = tensors.flattened(answers)
    if tensors.datatype_of(values) not in ("FP64", "INT64"):
        raise ValueError("it has no numbers to order")
    width = math.prod(shape[1:])
    labels = list(map(str, answers[0])) if answers and isinstance(answers[0], dict) and len(shape) == 2 else None
    rows = [values[start : start + width] for start in range(0, len(values), width or 1)]
    return [_highest(row, labels, most) for row in rows]


def _highest(row: Sequence[float | None], labels: Sequence[str] | None, most: int) -> list[str]:
    order = sorted(range(len(row)), key=lambda at: -math.inf if row[at] is None else row[at] or 0.0, reverse=True)
    suffixes = [""] * len(row) if labels is None else [f":{label}" for label in labels]
    return [f"{math.nan if row[at] is None else row[at]:f}:{at}{suffixes[at]}" for at in order[:most]]
