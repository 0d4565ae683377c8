"""Jobs: trainings, files of rows and predictions that are carried out in the background."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from modelgate.errors import Invalid, ModelgateError, NotFound, TimedOut, failure_of
from modelgate.file_formats import format_of_name
from modelgate.files import replacing
from modelgate.progress import ProgressBar, is_watched
from modelgate.reports import Report

if TYPE_CHECKING:
    from modelgate.connection import Connection

OnProgress = Callable[[Mapping[str, Any]], object]

_POLL = 1
"""Seconds that one request waits for the end of a job, and so between two looks at its progress."""


class JobFacts:
    """What is known of a job without a request."""

    @property
    def json(self) -> dict[str, Any]:
        """What the server says about it, as of the last look."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        return str(self.json["id"])

    @property
    def kind(self) -> str:
        """`prediction`, `file_prediction` or `training`."""
        return str(self.json["kind"])

    @property
    def status(self) -> str:
        """`queued`, `running`, `succeeded`, `failed`, `canceled` or `expired`."""
        return str(self.json["status"])

    @property
    def done(self) -> bool:
        """Whether it has ended, however."""
        return self.json["completed_at"] is not None

    @property
    def model(self) -> str:
        """The name of its model."""
        return str(self.json["model"]["name"])

    @property
    def version(self) -> int | None:
        """The version that it uses or has made; None if it has not made one yet."""
        version: int | None = self.json["model"]["version"]
        return version

    @property
    def output(self) -> dict[str, Any]:
        """What it has made. Raises `JobFailed` if it has failed, `ModelgateError` if it has not ended."""
        if not self.done:
            raise ModelgateError(f"the job {self.id} is {self.status}; wait() for it")
        if self.status != "succeeded":
            raise failure_of(self.json)
        output: dict[str, Any] = self.json["output"]
        return output

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.model}: {self.status}>"


class Job(JobFacts):
    """A job."""

    def __init__(self, connection: Connection, facts: Mapping[str, Any]) -> None:
        self._connection = connection
        self._json = dict(facts)

    @property
    def json(self) -> dict[str, Any]:
        return self._json

    def refresh(self, wait: float = 0) -> Self:
        """Ask the server for the state of the job. The answer comes at its end, or after `wait` seconds."""
        job = self._connection.request("GET", f"/v1/jobs/{self.id}", params={"wait": wait} if wait else None)
        self._json = job
        return self

    def wait(
        self,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Wait until the job has succeeded, and return it.

        `progress` shows a bar; by default in a terminal and in a notebook. `on_progress` gets the job as JSON instead,
        about once a second. Ctrl-C cancels the job. Raises `JobFailed` if it ends otherwise, and `TimedOut` after
        `timeout` seconds; then the job goes on.

        >>> from modelgate import Client
        >>> Client().train("iris").wait(timeout=600).status
        'succeeded'
        """
        shown = is_watched() if progress is None and on_progress is None else bool(progress)
        end = None if timeout is None else time.monotonic() + timeout
        with ProgressBar(shown) as bar:
            try:
                while not self.done:
                    left = _POLL if end is None else min(_POLL, end - time.monotonic())
                    if left <= 0:
                        raise TimedOut(f"the job {self.id} is still {self.status} after {timeout:g} s; wait() again")
                    self.refresh(max(left, 0.01))
                    self._show(bar)
                    if on_progress:
                        on_progress(self.json)
            except KeyboardInterrupt:
                self.cancel()
                raise
        _ = self.output
        return self

    def cancel(self) -> Self:
        """Cancel the job unless it has ended."""
        self._json = self._connection.request("POST", f"/v1/jobs/{self.id}/cancel")
        return self

    def delete(self) -> None:
        """Cancel the job, or delete it with its files if it has ended. Does nothing if it is gone: the answer to an
        earlier try may have been lost."""
        with suppress(NotFound):
            # DELETE cancels, too; repeated after a lost answer, it would also delete what it has cancelled.
            if self.done or self.cancel().status != "canceled":
                self._connection.request("DELETE", f"/v1/jobs/{self.id}")

    @property
    def log(self) -> str:
        """The log of a training; of a long one about the last megabyte."""
        return self.read_log()[0]

    def read_log(self, start: int = 0) -> tuple[str, int]:
        """Return the log of a training from a byte on, and the byte from which to read on."""
        answer = self._connection.send("GET", f"/v1/jobs/{self.id}/log", params={"from": start})
        return answer.content.decode("utf-8", "replace"), int(answer.headers.get("Log-Next", start))

    def _show(self, bar: ProgressBar) -> None:
        bar.show(self.json["progress"] or {"phase": self.status})


class FileJobFacts(JobFacts):
    """What is known of a file of rows without a request."""

    @property
    def rows(self) -> int:
        """The rows of the file."""
        return int(self.output["rows"])

    @property
    def errors(self) -> int:
        """The rows without a prediction."""
        return int(self.output["errors"])


class FileJob(FileJobFacts, Job):
    """A file of rows that is being scored, or has been."""

    def download(self, target: str | Path | IO[bytes]) -> Path | None:
        """Write the output to a file, and return its path. A path appears once all of it is there.

        >>> import io
        >>> from modelgate import Client
        >>> rows = io.BytesIO(b"sepal_length,sepal_width,petal_length,petal_width\\n5.1,3.5,1.4,0.2\\n")
        >>> scored = io.BytesIO()
        >>> Client().model("iris").submit(rows, format="csv").wait().download(scored)
        >>> scored.getvalue().startswith(b"sepal_length,")
        True
        """
        self._check_format(target)
        return self._save(f"/v1/jobs/{self.id}/output", target)

    def download_errors(self, target: str | Path | IO[bytes]) -> Path | None:
        """Write the errors of its rows to a file: a line of JSON for each."""
        return self._save(f"/v1/jobs/{self.id}/errors", target)

    def row_errors(self) -> Iterator[dict[str, Any]]:
        """Yield the errors of its rows."""
        rest = b""
        for piece in self._connection.stream(f"/v1/jobs/{self.id}/errors"):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)

    def _check_format(self, target: str | Path | IO[bytes]) -> None:
        wanted = format_of_name(target) if isinstance(target, str | Path) else None
        media_type = str(self.output["format"])
        if wanted and wanted.media_type != media_type:
            raise Invalid(
                f"the output is {media_type}, and {str(target)!r} is {wanted.media_type}; submit the rows with"
                f" output={Path(target).suffix[1:]!r}"  # type: ignore[arg-type]
            )

    def _save(self, path: str, target: str | Path | IO[bytes]) -> Path | None:
        if not isinstance(target, str | Path):
            target.writelines(self._connection.stream(path))
            return None
        with replacing(Path(target)) as file:
            file.writelines(self._connection.stream(path))
        return Path(target)


class TrainingFacts(JobFacts):
    """What is known of a training without a request."""

    @property
    def promoted(self) -> bool:
        """Whether the alias names the new version."""
        return bool(self.output["promoted"])

    @property
    def reason(self) -> str | None:
        """Why the version was not promoted."""
        reason: str | None = self.output["reason"]
        return reason

    @property
    def verdict(self) -> str:
        """How the version compares with the one that it would replace, in a sentence."""
        return str(self.output.get("verdict") or "")

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the version, on rows that it was not fitted on."""
        return dict(self.output["metrics"])


class TrainingRun(TrainingFacts, Job):
    """A training that runs, or has made a version."""

    _log_seen = 0

    @property
    def report(self) -> Report:
        """The report of the version; a notebook shows it."""
        return Report(self._connection, self.model, int(self.output["version"]))

    def _show(self, bar: ProgressBar) -> None:
        if bar.shown and self.status != "queued":  # the log has a line for each candidate
            with suppress(ModelgateError):
                text, self._log_seen = self.read_log(self._log_seen)
                bar.print(text)
        super()._show(bar)


KINDS: Mapping[str, type[Job]] = {
    **dict.fromkeys(("prediction", "explanation"), Job),
    "file_prediction": FileJob,
    "training": TrainingRun,
}
"""What the client returns for each kind of job; a `Job` for one that it does not know."""


def job_of(connection: Connection, facts: Mapping[str, Any]) -> Job:
    """Return the job of its kind."""
    return KINDS.get(str(facts["kind"]), Job)(connection, facts)
