"""`python -m bench.one_file REPOSITORY MODEL INPUT OUTPUT`: scores a file as one scorer does. It prints what it took as
JSON; `step_ms` is the longest step, in which no single row is answered."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TypeVar

from bench.console import say
from contract.model.repository import CURRENT, Repository
from contract.rows.file_formats import FileFormat
from scoring.files.assemble import assemble
from scoring.files.plan import Steps
from scoring.files.planning import plan
from scoring.files.score import Part, score
from scoring.trust import Trust
from worker.model_cache import ModelLoader

T = TypeVar("T")
FORMATS = {".csv": FileFormat.CSV, ".parquet": FileFormat.PARQUET}


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB. `ru_maxrss` would count its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    root, name, source, target = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    repository = Repository(root)
    model = ModelLoader(repository, Trust()).load(name, repository.aliases(name)[CURRENT])
    steps: list[float] = []

    def finished(work: Steps[T]) -> T:
        while True:
            began = time.perf_counter()
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                steps.append(time.perf_counter() - began)

    file_format = FORMATS[source.suffix]
    began, used = time.perf_counter(), time.process_time()
    planned = finished(plan(source, file_format, file_format, model))
    parts = []
    for chunk in planned.chunks:
        part = Part(target.with_name(f"{chunk.number}.part"), target.with_name(f"{chunk.number}.errors"))
        finished(score(model, source, planned, chunk, part))
        parts.append(part.output)
    finished(assemble(planned, parts, target))
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    say(json.dumps({**took, "mb": peak_mb(), "step_ms": 1000 * max(steps), "call_rows": planned.call_rows}))
    for path in parts:
        path.unlink()


if __name__ == "__main__":
    main()
