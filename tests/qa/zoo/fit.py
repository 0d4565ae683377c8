"""Fits specimens, and saves each with the answers of this process.

`python -m tests.qa.zoo.fit FOLDER [NAME …]` writes for each a file, `<slug>.json` with the rows and the answers to
them, and the sample and the code that belong to it; `<slug>.published` and
`<slug>.frame` have the rows to publish it with, and those that the client asks.
"""

from __future__ import annotations

import json
import pickle
import sys
import traceback
import warnings
from collections.abc import Collection, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from modelgate.publishing import sample_of

from tests.qa.zoo.kinds import SPECIMENS
from tests.qa.zoo.specimens import Specimen, answers_alone, answers_of, names_of, rows_of


def main(folder: Path, slugs: Collection[str]) -> int:
    warnings.simplefilter("ignore")
    failed = 0
    for specimen in SPECIMENS:
        if not slugs or specimen.slug in slugs:
            try:
                (_save_apart if specimen.changes else save)(specimen, folder)
            except Exception:
                failed += 1
                sys.stderr.write(f"{specimen.name} cannot be fitted:\n{traceback.format_exc(limit=-3)}\n")
    return failed


def _save_apart(specimen: Specimen, folder: Path) -> None:
    """Save a specimen in a process of its own, which it may change."""
    process = get_context("fork").Process(target=save, args=(specimen, folder))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("its process failed")


def save(specimen: Specimen, folder: Path) -> None:
    """Fit a specimen and write its files."""
    saved = specimen.make()
    model = saved.thing if saved.answers is None else saved.answers
    columns, rows = rows_of(saved.asked)
    answers = answers_of(model, saved.asked)
    written = {
        "columns": columns,
        "rows": rows,
        "answers": answers,
        "alone": answers_alone(model, saved.asked, answers),
        "labels": _labels(model, answers),
        "names": names_of(model),
    }
    (folder / f"{specimen.slug}.json").write_text(json.dumps(written))
    (folder / f"{specimen.slug}{specimen.suffix}").write_bytes(specimen.save(saved.thing))
    if saved.published is not None:
        saved.sample = (sample_of(saved.published) or b"").decode()
    for suffix, frame in ((".frame", saved.frame), (".published", saved.published)):
        if frame is not None:
            (folder / f"{specimen.slug}{suffix}").write_bytes(pickle.dumps(frame))
    for suffix, text in ((".csv", saved.sample), (".py", saved.code)):
        if text is not None:
            (folder / f"{specimen.slug}{suffix}").write_text(text)


def _labels(model: object, answers: Mapping[str, Any]) -> list[str] | None:
    """Return the labels of the only output, if they are known."""
    classes = getattr(model, "classes_", None)
    several = any(len(row) > 1 for row in answers.get("predict", ()))
    return None if classes is None or several else [str(label) for label in classes]


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1]), sys.argv[2:]), 1))
