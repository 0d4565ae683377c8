"""Scores the objects of a data lake: each is a file prediction, and its output an object that is written once.

What is done is what is in the bucket of the outputs, so a run that was killed goes on where it was. See
docs/adr/0072-the-client-reads-the-lake.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from modelgate.buckets import SCHEMES, Bucket, BucketError, BucketObject
from modelgate.errors import Invalid, JobFailed, ModelgateError, NotFound
from modelgate.file_formats import format_of_name
from modelgate.jobs import FileJob
from modelgate.models import Model

NOTE = "_modelgate.json"
"""The object among the outputs that says of which version and which objects they are."""
ERRORS = "_errors/"
"""Before the names of objects with the errors of rows. Spark, Dask and others leave out what begins with `_`."""
_AT_ONCE = 4
"""Objects that are scored at once: one is sent and one is fetched while the workers score others."""
_GOOD = ("queued", "running", "succeeded")
_GONE = "job_gone"
"""The code of a repeated request whose job was deleted: its output was written, and deleted from the bucket since."""


@dataclass
class Outcome:
    """What a run has done: objects, the rows in them and those without a prediction; the objects that had their output
    before; and what is wrong with others, by their URLs."""

    objects: int = 0
    rows: int = 0
    errors: int = 0
    before: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "warnings": sorted(self.warnings)}


OnProgress = Callable[[Mapping[str, Any]], object]
"""Gets how far a run is, as a job says it."""


def is_lake(url: str) -> bool:
    """Return whether a file's name is the URL of objects in a bucket."""
    return url.startswith(SCHEMES)


class LakeRun:
    """Scores all objects that `source` matches into the folder `target` with one version, a few at once.

    `source`: such as `s3://lake/2026/*.parquet`; `*` and `?` stand for anything but a slash. `target`: the URL of a
    folder for outputs of these objects with this version alone. An output has the name of its object. `options_file`:
    see `Bucket`.
    """

    def __init__(
        self,
        model: Model,
        source: str,
        target: str,
        *,
        method: str = "predict",
        strict: bool = False,
        options_file: Path | None = None,
    ) -> None:
        """Raises `ModelgateError`, and OSError for the file with options."""
        base, self._pattern = _split(source)
        self._source, self._target = Bucket(base, options_file), Bucket(target, options_file)
        self._options: dict[str, Any] = {"method": method, "strict": strict}
        self._model, self._note = model, {"source": self._source.url, **self._options}
        self._fractions: dict[BucketObject, float] = {}
        self._stop: BaseException | None = None
        if self._target.url == self._source.url:
            raise Invalid(f"{target!r} has the objects themselves; name another folder for the outputs")

    def score(self, on_progress: OnProgress) -> Outcome:
        """Score what has no output yet. An object that cannot be scored is in the outcome, and stops no other. Ctrl-C
        cancels the jobs. Raises `ModelgateError` for what concerns all objects."""
        objects = [each for each in self._source.objects() if self._matches(each)]
        if not objects:
            raise Invalid(f"no object matches {self._source.url}{self._pattern}; * stands for anything but a slash")
        self._model = self._pinned()
        outputs = {each.key: each for each in self._target.objects()}
        outcome, left = Outcome(), []
        for each in objects:
            output = outputs.get(each.key)
            if output is None:
                left.append(each)
            elif output.modified < each.modified:
                outcome.failed[self._source.url + each.key] = (
                    f"it was changed after it was scored; delete {self._target.url}{each.key} to score it again"
                )
            else:
                outcome.before += 1
        self._score_all(left, outcome, on_progress)
        return outcome

    def _matches(self, each: BucketObject) -> bool:
        is_output = f"{self._source.url}{each.key}".startswith(self._target.url)
        return not is_output and PurePosixPath(f"/{each.key}").match(f"/{self._pattern}")

    def _pinned(self) -> Model:
        """Return the version of the outputs, which the first run has noted there."""
        noted = self._target.read(NOTE)
        if noted is None:
            note = {"model": self._model.name, "version": self._model.version, **self._note}
            self._target.create(NOTE, json.dumps(note).encode())
            noted = self._target.read(NOTE) or b""  # another run may have been first
        try:
            known = json.loads(noted)
            pinned, name = f"{known['model']}@{known['version']}", known["model"]
        except (ValueError, KeyError, TypeError):
            raise Invalid(f"{self._target.url}{NOTE} is not as Modelgate writes it; name another folder") from None
        wanted = self._model.reference.partition("@")
        by_number = wanted[2].isdigit() and wanted[2] != str(known["version"])
        if wanted[0] != name or by_number or {key: known.get(key) for key in self._note} != self._note:
            raise Invalid(
                f"{self._target.url} has the answers of {pinned} to {known.get('source')} with"
                f" {known.get('method')!r}{' and --strict' if known.get('strict') else ''}; name another folder"
            )
        return Model(self._model._connection, pinned)

    def _score_all(self, objects: Sequence[BucketObject], outcome: Outcome, on_progress: OnProgress) -> None:
        total = sum(each.size for each in objects) or 1
        lock = threading.Lock()

        def show(each: BucketObject, fraction: float) -> None:
            if self._stop:
                raise self._stop
            with lock:
                self._fractions[each] = fraction
                done = sum(each.size * fraction for each, fraction in self._fractions.items()) / total
                counts = {"done": outcome.objects, "total": len(objects), "unit": "objects"}
                on_progress({"phase": "scoring", "fraction": done, **counts})

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            scored = {pool.submit(self._score, each, show): each for each in objects}
            try:
                for future in as_completed(scored):
                    try:
                        job = future.result()
                    except (BucketError, Invalid, JobFailed) as error:
                        outcome.failed[self._source.url + scored[future].key] = _said(error)
                        continue
                    outcome.objects += 1
                    outcome.rows += job.rows
                    outcome.errors += job.errors
                    outcome.warnings.update(job.json["warnings"])
                    show(scored[future], 1)
            except BaseException as error:
                # Ctrl-C cancels the jobs in their threads, too; after other errors a later run takes them up.
                self._stop = error
                pool.shutdown(cancel_futures=True)
                raise

    def _score(self, each: BucketObject, show: Callable[[BucketObject, float], None]) -> FileJob:
        """Score an object and write its output, the errors of its rows first."""
        job = self._job(each, show)
        job.wait(on_progress=lambda job: show(each, float((job["progress"] or {}).get("fraction") or 0)))
        if job.errors:
            self._write(f"{ERRORS}{each.key}.ndjson", job.download_errors)
        self._source.check_unchanged(each)
        self._write(each.key, job.download)
        job.delete()
        return job

    def _job(self, each: BucketObject, show: Callable[[BucketObject, float], None]) -> FileJob:
        """Return the job that a run before has made of an object, or a new one."""
        connection = self._model._connection
        request = [self._model.reference, self._source.url, each.key, each.tag, self._target.url, self._options]
        for attempt in itertools.count():
            key = hashlib.sha256(json.dumps([*request, attempt]).encode()).hexdigest()
            jobs = connection.request("GET", "/v1/jobs", params={"idempotency_key": key})["items"]
            if jobs and jobs[0]["status"] in _GOOD:
                return FileJob(connection, jobs[0]).refresh()
            try:
                if not jobs:
                    return self._submitted(each, key, show)
            except NotFound as error:
                if error.code != _GONE:
                    raise
        raise AssertionError

    def _submitted(self, each: BucketObject, key: str, show: Callable[[BucketObject, float], None]) -> FileJob:
        kind = format_of_name(each.key)
        if kind is None:
            raise Invalid("its name does not end as those of CSV, NDJSON or Parquet do")
        with tempfile.TemporaryFile() as file:
            self._source.download(each, file)
            return self._model.submit(
                file, format=kind, output=kind, on_sent=lambda *_: show(each, 0), idempotency_key=key, **self._options
            )

    def _write(self, key: str, save: Callable[[IO[bytes]], object]) -> None:
        with tempfile.TemporaryFile() as file:
            save(file)
            self._target.create(key, file)


def _split(source: str) -> tuple[str, str]:
    """Return the URL before the first wildcard, up to its last slash, and the pattern after it."""
    folders = re.split(r"[*?\[]", source)[0].rpartition("/")[0]
    if f"{folders}/" in SCHEMES:
        raise Invalid(f"{source!r} must name a bucket, such as {SCHEMES[0]}lake/2026/*.parquet")
    return folders, source[len(folders) + 1 :]


def _said(error: ModelgateError) -> str:
    """Return what is wrong with an object, with the row if it is one."""
    rows = [str(entry["row"]) for entry in error.errors[:1] if entry.get("row") is not None]
    return f"row {rows[0]}: {error.errors[0].get('message')}" if rows else str(error)
