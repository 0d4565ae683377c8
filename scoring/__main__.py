"""`python -m scoring REFERENCE FOLDER [VERIFY_KEY]` loads a version from a folder and answers rows.

The client starts it beside the user's program (`modelgate.scorer`), where no server is: names such as `contract` are
ours in this process alone. It reads standard input. A message is its length in 8 bytes, then its bytes. It asks with
two: the name of a method, and rows as JSON, as the client sends them to a gateway. The first answer says whether the
version was loaded.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from modelgate_kernels import ModelKernel

from contract.errors import Code, InvalidInstances, ModelgateError, SettingsError
from contract.model.manifest import ModelManifest
from contract.model.signature import RowFormat
from contract.model.version_files import VersionFiles
from contract.rows.coercion import coerce
from contract.rows.instances import Grid, Instances, Records
from scoring.artifacts import load
from scoring.kernels import kernel_for
from scoring.predict import predict
from scoring.trust import Trust

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class _Loaded:
    manifest: ModelManifest
    estimator: Any
    kernel: ModelKernel | None

    @classmethod
    def from_folder(cls, reference: str, folder: Path, verify_key: Path | None) -> _Loaded:
        """Raises `ModelgateError` and `SettingsError`. Unpickling runs the code of the artifact."""
        files = VersionFiles(folder)
        manifest = ModelManifest.loads(files.manifest())
        if reference != f"{manifest.name}@{manifest.version}":  # another one may be signed, too
            raise manifest.error(Code.NOT_TRUSTED, f"came in the place of {reference}; ask who runs the server")
        estimator = load(manifest, files, Trust(_keys(verify_key) if verify_key else ()))
        return cls(manifest, estimator, kernel_for(estimator, manifest))

    def answer(self, method: str, body: bytes) -> dict[str, Any]:
        """Return the job of the rows in a body, as far as a client reads it, or the problem with them."""
        manifest = self.manifest
        try:
            instances = _instances(json.loads(body), manifest.signature.format)
            coerced = coerce(instances, manifest.signature, manifest.training_data.target)
            prediction = predict(self.estimator, manifest, coerced.rows, self.kernel, method)
        except InvalidInstances as error:
            detail = error.errors[0].message if error.total == 1 else f"{error.total} values cannot be used; see errors"
            return {"problem": {"detail": detail, "errors": [each.to_json() for each in error.errors]}}
        except ModelgateError as error:
            return {**self._job("failed"), "error": error.failure.to_json()}
        return {
            **self._job("succeeded"),
            "output": {"predictions": list(prediction.values)},
            "warnings": [*coerced.warnings, *prediction.warnings],
        }

    def _job(self, status: str) -> dict[str, Any]:
        return {"status": status, "model": {"name": self.manifest.name, "version": self.manifest.version}}


def _keys(file: Path) -> tuple[bytes, ...]:
    from scoring.key_files import public_keys  # only where there is a key, as in scoring.trust

    return public_keys(file)


def _instances(value: Any, row_format: RowFormat) -> Instances:
    """Return the rows that `modelgate.rows` has written, as the gateway reads them."""
    if isinstance(value, dict):
        (columns,) = value.values()
        return Grid(list(columns), list(zip(*columns.values(), strict=True)))
    if isinstance(value[0], dict):
        return Records(value)
    return Grid(None, [[text] for text in value] if row_format is RowFormat.TEXTS else value)


def main() -> None:
    """Answer until standard input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model prints is no answer
    reference, folder, *keys = sys.argv[1:]
    try:
        loaded = _Loaded.from_folder(reference, Path(folder), Path(keys[0]) if keys else None)
    except ModelgateError as error:
        _write(sink, {"failure": error.failure.to_json()})
        return
    except SettingsError as error:
        _write(sink, {"failure": {"code": Code.NOT_TRUSTED, "message": str(error)}})
        return
    _write(sink, {})
    for method in (messages := _messages(source)):
        _write(sink, loaded.answer(method.decode(), next(messages)))


def _messages(source: BinaryIO) -> Iterator[bytes]:
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        yield source.read(*_LENGTH.unpack(head))


def _write(sink: BinaryIO, answer: dict[str, Any]) -> None:
    data = json.dumps(answer, default=dict).encode()
    sink.write(_LENGTH.pack(len(data)) + data)
    sink.flush()


if __name__ == "__main__":
    main()
