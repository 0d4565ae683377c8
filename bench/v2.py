"""MLServer: its settings files, and its protocol (V2), in which a request names and shapes each input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import models
from bench.processes import free_port
from contract.row import Row


def body(model: str, names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows as one tensor, or as one input a column if columns have different kinds."""
    if model != "table":
        flat = [value for row in rows for value in row]
        return {"inputs": [_input("x", "FP64", [len(rows), len(names)], flat)]}
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return {
        "inputs": [
            _input(name, "BYTES" if name in models.TABLE_WORDS else "FP64", [len(rows), 1], list(values))
            for name, values in columns
        ]
    }


def _input(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def write_settings(folder: Path, port: int) -> None:
    """Write the settings files. The serving process predicts."""
    shutil.rmtree(folder, ignore_errors=True)
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    _write(folder / "settings.json", server)


def write_models(folder: Path, repository: Path, names: Sequence[str], batch: int, batch_seconds: float) -> None:
    for name in names:
        parameters = {
            "uri": str(models.artifact(repository, name)),
            "content_type": "pd" if name == "table" else "np",
        }
        settings = {
            "name": name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "max_batch_size": batch,
            "max_batch_time": batch_seconds,
            "parameters": parameters,
        }
        _write(folder / name / "model-settings.json", settings)


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2))
