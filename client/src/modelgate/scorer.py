"""A version that scores rows where they are: it travels to the data, and answers there without the server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate import local
from modelgate.errors import ModelgateError, Unreachable, error_of, failure_of
from modelgate.estimator import RemoteEstimator, Version
from modelgate.rows import Rows

if TYPE_CHECKING:
    from modelgate.submitting import ServedModel

_LENGTH = struct.Struct(">Q")
"""The bytes of a message, before it."""
_FILES = "data/"
"""The folder in an export that has the files of the version."""


class Scorer(RemoteEstimator):
    """A version with its artifact, which may be pickled and sent to other machines. Its methods are those of the
    model, with the same answers for the same rows, to the last bit.

    The first call in a process starts another one, `python -m scoring`, which ends with it. That one checks checksum,
    signature and library versions, and then LOADS THE ARTIFACT, WHICH RUNS ITS CODE with the rights of the caller: use
    models alone whose publishers you trust. `modelgate` has to be installed there, and what the model needs.
    """

    def __init__(self, reference: str, description: dict[str, Any], export: bytes, verify_key: bytes) -> None:
        """`reference`: the version, such as `loan@3`. `description`: what the server says about it. `export`: the zip
        with its files. `verify_key`: public keys in PEM, one of which must have signed it; b"" if it needs no
        signature."""
        super().__init__(reference)
        self._latest = Version(description)
        self._export, self._verify_key = export, verify_key
        self._digest = hashlib.sha256(b"%d:" % len(verify_key) + verify_key + export).hexdigest()

    def refresh(self) -> dict[str, Any]:
        """Return what the server said about the version."""
        return self.description

    def _described(self, version: int) -> Version | None:  # noqa: ARG002  # there is one
        return self._latest

    def _parts(self, reference: str, method: str, rows: Rows) -> Iterator[dict[str, Any]]:
        if rows.count:
            return super()._parts(reference, method, rows)
        # A cluster has empty partitions.
        return iter(
            [{"model": {"version": self.description["version"]}, "output": {"predictions": []}, "warnings": []}]
        )

    def _predicted(self, reference: str, method: str, kind: str, body: bytes) -> dict[str, Any]:  # noqa: ARG002
        with _lock:
            process = _processes.get(self._digest)
            if process is None or process.has_ended:
                process = _processes[self._digest] = _Process(self.reference, self._export, self._verify_key)
        return process.ask(method, body)

    def __repr__(self) -> str:
        return f"<Scorer of {self.reference}>"


def scorer(model: ServedModel, verify_key: str | Path | None = None) -> Scorer:
    """Return the version that answers now as an object that scores rows without the server, also on other machines: for
    rows that are in a cluster already. The API key needs the scope `publish`, as for `Client.export`.

    `verify_key`: a file with public keys in PEM, of which one must have signed the version. Without it, a person
    who can change the answers of the server can have the machines run any code: see `Scorer`. Raises `ModelgateError`.

    >>> from modelgate import Client
    >>> Client().model("iris").scorer().predict([[5.1, 3.5, 1.4, 0.2]])
    array([0])
    """
    description = model.refresh()
    wanted = model.reference.partition("@")[2]
    version = wanted if wanted.isdigit() else description["version"]
    export = b"".join(model._connection.stream(f"/v1/models/{model.name}/versions/{version}/export"))
    keys = Path(verify_key).read_bytes() if verify_key else b""
    return Scorer(f"{model.name}@{version}", description, export, keys)


class _Process:
    """A process that has loaded a version. It may be used by many threads, one after the other."""

    def __init__(self, reference: str, export: bytes, verify_key: bytes) -> None:
        """Raises `ModelgateError` if the version cannot be loaded here."""
        local.check_server()
        self._turn = threading.Lock()
        with tempfile.TemporaryDirectory(prefix="modelgate-") as folder:
            with zipfile.ZipFile(io.BytesIO(export)) as archive:
                archive.extractall(folder, [name for name in archive.namelist() if name.startswith(_FILES)])
            for file in Path(folder, _FILES).glob("version.json*"):
                file.rename(file.with_name(file.name.replace("version", "manifest", 1)))
            key = Path(folder, "verify.pem")
            key.write_bytes(verify_key)
            self._process = subprocess.Popen(  # noqa: S603
                local.program("scoring", reference, str(Path(folder, _FILES)), *([str(key)] if verify_key else [])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in a worker
            )
            _checked(self._read())

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, method: str, body: bytes) -> dict[str, Any]:
        """Return the job of the rows in a JSON body. Raises `ModelgateError`."""
        with self._turn:
            self._write(method.encode())
            self._write(body)
            return _checked(self._read())

    def _write(self, data: bytes) -> None:
        assert self._process.stdin  # noqa: S101
        try:
            self._process.stdin.write(_LENGTH.pack(len(data)) + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None

    def _read(self) -> Any:
        assert self._process.stdout  # noqa: S101
        head = self._process.stdout.read(_LENGTH.size)
        data = self._process.stdout.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else b""
        if not data:
            raise self._lost()
        return json.loads(data)

    def _lost(self) -> Unreachable:
        code = self._process.wait()
        why = "this machine may lack memory for it" if code < 0 else "see what it has written to standard error"
        return Unreachable(f"the process that scores has ended with the code {code}; {why}")


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of the process. Raises what the server would have had the client raise."""
    if "problem" in answer:
        raise error_of(422, answer["problem"])
    if "failure" in answer:
        raise ModelgateError(answer["failure"]["message"], code=answer["failure"]["code"])
    if answer.get("status") == "failed":
        raise failure_of(answer)
    return answer


_processes: dict[str, _Process] = {}
"""By the version and the keys: pickling makes many scorers of one."""
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _processes.clear()  # those of the parent, which reads their answers


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
