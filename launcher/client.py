"""The Modelgate that runs here, as a caller of its HTTP interface."""

from __future__ import annotations

import http.client
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from contract.settings import Settings


class NobodyAnswers(Exception):
    """No Modelgate listens there."""


class Refused(Exception):
    """What Modelgate answered instead of doing it."""


class Modelgate:
    """The one at `host` and `port`, with a connection for each request: it may be restarted meanwhile."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    @classmethod
    def of(cls, settings: Settings) -> Modelgate:
        return cls("127.0.0.1" if settings.host == "0.0.0.0" else settings.host, settings.port)  # noqa: S104

    @property
    def url(self) -> str:
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON of an answer. Raises `NobodyAnswers` and `Refused`."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer is there
                connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NobodyAnswers(str(error)) from error
        finally:
            connection.close()
        try:
            answer: dict[str, Any] = json.loads(text or b"{}")
        except ValueError as error:
            raise NobodyAnswers(f"what answers at port {self._address[1]} is no Modelgate") from error
        if response.status >= 400:
            raise Refused("; ".join(_reasons(answer)) or f"HTTP {response.status}")
        return answer

    def lives(self) -> bool:
        try:
            return self.ask("GET", "/health/live").get("status") == "ok"
        except (NobodyAnswers, Refused):
            return False

    def train(self, name: str, csv: Path | None, request: Mapping[str, Any]) -> dict[str, Any]:
        """The training job that was accepted. Raises OSError when the file cannot be read."""
        path = f"/v1/models/{name}/train"
        if csv is None:
            return self.ask("POST", path, json.dumps(request), {"Content-Type": "application/json"})
        boundary = uuid.uuid4().hex
        with csv.open("rb") as file:
            head, tail = _parts(boundary, {"request": json.dumps(request)}, csv.name)
            length = len(head) + os.fstat(file.fileno()).st_size + len(tail)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
            return self.ask("POST", path, _pieces(head, file, tail), headers)


def _parts(boundary: str, fields: Mapping[str, str], file_name: str) -> tuple[bytes, bytes]:
    """What stands before and after the file in a form."""
    called = file_name.translate({ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"})  # as browsers send it
    form = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{called}"\r\n\r\n'
    return (form + file).encode(errors="replace"), f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, file: IO[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    while piece := file.read(1 << 16):
        yield piece
    yield tail


def _reasons(problem: Mapping[str, Any]) -> list[str]:
    errors = problem.get("errors") or [{"message": problem.get("detail", "")}]
    return [str(error["message"]) for error in errors if error.get("message")]
