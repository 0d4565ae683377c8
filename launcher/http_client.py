"""An HTTP client of the Modelgate on this machine."""

from __future__ import annotations

import http.client
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from contract.settings import Settings


class NotRunning(Exception):
    """No Modelgate answers at the address."""


class Refused(Exception):
    """Modelgate refused the request; the message says why."""


class Modelgate:
    """The Modelgate at `host` and `port`. Each request opens its own connection, since the gateway may restart."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    @classmethod
    def from_settings(cls, settings: Settings) -> Modelgate:
        """Return the Modelgate that `make up` starts with these settings."""
        return cls("127.0.0.1" if settings.host == "0.0.0.0" else settings.host, settings.port)  # noqa: S104

    @property
    def url(self) -> str:
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON of the response. Raises `NotRunning` and `Refused`."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before the whole body was sent
                connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(str(error)) from error
        finally:
            connection.close()
        try:
            answer: dict[str, Any] = json.loads(text or b"{}")
        except ValueError as error:
            raise NotRunning(f"the server at port {self._address[1]} is not Modelgate; set PORT to its port") from error
        if response.status >= 400:
            raise Refused("; ".join(_reasons(answer)) or f"HTTP {response.status}")
        return answer

    def is_alive(self) -> bool:
        """Whether a Modelgate answers at the address."""
        try:
            return self.request("GET", "/health/live").get("status") == "ok"
        except (NotRunning, Refused):
            return False

    def train(self, name: str, csv: Path | None, request: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a training and return its job. Raises `NotRunning`, `Refused`, and OSError for an unreadable file."""
        path = f"/v1/models/{name}/train"
        if csv is None:
            return self.request("POST", path, json.dumps(request), {"Content-Type": "application/json"})
        boundary = uuid.uuid4().hex
        with csv.open("rb") as file:
            head, tail = _parts(boundary, {"request": json.dumps(request)}, csv.name)
            length = len(head) + os.fstat(file.fileno()).st_size + len(tail)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
            return self.request("POST", path, _pieces(head, file, tail), headers)


def _parts(boundary: str, fields: Mapping[str, str], file_name: str) -> tuple[bytes, bytes]:
    """Return the bytes of a multipart form before and after the content of its file."""
    quoted = re.sub(r'[\x00-\x1f"\\\x7f]', "_", file_name)
    form = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
    return (form + file).encode(errors="replace"), f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, file: IO[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    while piece := file.read(1 << 16):
        yield piece
    yield tail


def _reasons(problem: Mapping[str, Any]) -> list[str]:
    errors = problem.get("errors") or [{"message": problem.get("detail", "")}]
    return [str(error["message"]) for error in errors if error.get("message")]
