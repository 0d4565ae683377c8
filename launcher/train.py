"""`make train`: has the Modelgate that runs train a model, and shows how far it is; without one, trains here."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from contract.settings import Settings, SettingsError

EVERY = 0.25
"""Seconds after which the progress is looked at again."""

SUCCEEDED, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class NobodyAnswers(Exception):
    """No Modelgate listens there."""


class Refused(Exception):
    """What Modelgate answered instead of doing it."""


class Modelgate:
    """The one at `host` and `port`, with a connection for each request: it may be restarted meanwhile."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

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

    def train(self, name: str, csv: Path | None, request: Mapping[str, str]) -> dict[str, Any]:
        """The training job that was accepted."""
        path = f"/v1/models/{name}/train"
        if csv is None:
            return self.ask("POST", path, json.dumps(request), {"Content-Type": "application/json"})
        boundary = uuid.uuid4().hex
        with csv.open("rb") as file:
            head, tail = _parts(boundary, request)
            length = len(head) + os.fstat(file.fileno()).st_size + len(tail)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
            return self.ask("POST", path, _pieces(head, file, tail), headers)


class Bar:
    """One line of a terminal that is drawn again and again; elsewhere a line for each phase."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._drawn = ""

    def show(self, progress: Mapping[str, Any]) -> None:
        phase = str(progress.get("phase", ""))
        if not self._out.isatty():
            if phase != self._drawn:
                self._out.write(f"{phase}\n")
                self._out.flush()
            self._drawn = phase
            return
        width = max(20, shutil.get_terminal_size().columns - 1)
        self._drawn = line(progress, width)
        self._out.write(f"\r{self._drawn:<{width}}")
        self._out.flush()

    def close(self) -> None:
        if self._out.isatty() and self._drawn:
            self._out.write("\n")


def line(progress: Mapping[str, Any], width: int) -> str:
    """Such as `[#####-----]  50 % comparing estimators 3/6, best 0.871, 12 s left`, at most `width` characters."""
    fraction = min(1.0, max(0.0, float(progress.get("fraction") or 0)))
    full = round(fraction * 20)
    parts = [f"[{'#' * full}{'-' * (20 - full)}] {fraction:4.0%} {progress.get('phase', '')}"]
    if progress.get("total"):
        parts[0] += f" {progress.get('done') or 0}/{progress['total']}"
    if progress.get("best") is not None:
        parts.append(f"best {progress['best']:.3f}")
    if progress.get("seconds_left") is not None:
        parts.append(f"{progress['seconds_left']:.0f} s left")
    return ", ".join(parts)[:width]


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 trained, 1 not, 2 for a wrong argument or setting, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="make train", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="training data")
    parser.add_argument("--target", help="the column to predict, for a model without a recipe of its own")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environ()
        modelgate = Modelgate("127.0.0.1" if settings.host == "0.0.0.0" else settings.host, settings.port)  # noqa: S104
        if not modelgate.lives():
            return _train_here(options.name, options.csv, options.target)
        job = modelgate.train(options.name, options.csv, {"target": options.target} if options.target else {})
        return follow(modelgate, job["id"], sys.stdout)
    except SettingsError as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return WRONG_USE
    except (NobodyAnswers, Refused, OSError) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def follow(modelgate: Modelgate, job_id: str, out: IO[str]) -> int:
    """Shows the training until it ends; Ctrl-C ends it."""
    bar = Bar(out)
    try:
        while True:
            job = _patiently(modelgate, job_id)
            if job["progress"]:
                bar.show(job["progress"])
            if job["completed_at"]:
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        bar.close()
        modelgate.ask("DELETE", f"/v1/jobs/{job_id}")
        print("modelgate: the training is stopped", file=sys.stderr)
        return INTERRUPTED
    bar.close()
    return _told(job)


def _patiently(modelgate: Modelgate, job_id: str, patience: float = 30) -> dict[str, Any]:
    """The job; a gateway that is being restarted is waited for."""
    end = time.monotonic() + patience
    while True:
        try:
            return modelgate.ask("GET", f"/v1/jobs/{job_id}")
        except NobodyAnswers:
            if time.monotonic() > end:
                raise
            time.sleep(EVERY)


def _told(job: Mapping[str, Any]) -> int:
    if job["status"] != "succeeded":
        reason = (job["error"] or {}).get("message", job["status"])
        print(f"modelgate: {job['model']['name']} is not trained: {reason}", file=sys.stderr)
        return FAILED
    output = job["output"]
    metrics = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in list(output["metrics"].items())[:3])
    current = "is current" if output["promoted"] else f"is published and not promoted: {output['reason']}"
    print(f"modelgate: {output['model']} version {output['version']} {current} ({metrics})")
    return SUCCEEDED


def _train_here(name: str, csv: Path | None, target: str | None) -> int:
    """Becomes `python -m trainer train`, as no Modelgate runs."""
    command = [sys.executable, "-m", "trainer", "train", name]
    command += [*(["--csv", str(csv)] if csv else []), *(["--target", target] if target else [])]
    os.execv(sys.executable, command)


def _parts(boundary: str, fields: Mapping[str, str]) -> tuple[bytes, bytes]:
    """What stands before and after the file in a form."""
    form = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="data.csv"\r\n\r\n'
    return (form + file).encode(), f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, file: IO[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    while piece := file.read(1 << 16):
        yield piece
    yield tail


def _reasons(problem: Mapping[str, Any]) -> list[str]:
    errors = problem.get("errors") or [{"message": problem.get("detail", "")}]
    return [str(error["message"]) for error in errors if error.get("message")]


if __name__ == "__main__":
    sys.exit(main())
