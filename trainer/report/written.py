"""A report as a whole: made from evidence, and written beside its version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from contract.model.manifest import ModelManifest
from contract.model.repository import REPORT_HTML, REPORT_JSON
from trainer.report.facts import published
from trainer.report.page import render
from trainer.report.parts import Facts
from trainer.report.pictures import draw_all

SCHEMA_VERSION = 2


def draw_report(facts: Facts) -> Callable[[Path, ModelManifest], None]:
    """Draw the pictures of the `facts` of `gather`, which takes seconds. Return the function that writes `report.html`
    and `report.json` of a version into an existing folder; it raises OSError.

    Other facts may raise any exception.
    """
    pictures = draw_all(facts)

    def write(folder: Path, manifest: ModelManifest) -> None:
        known = {"schema_version": SCHEMA_VERSION, **facts, **published(manifest)}
        text = json.dumps(known, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        (folder / REPORT_JSON).write_text(text + "\n", encoding="utf-8")
        (folder / REPORT_HTML).write_text(render(known, pictures) + "\n", encoding="utf-8")

    return write
