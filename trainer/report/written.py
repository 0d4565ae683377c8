"""A report as a whole: drawn from facts, and the files that lie beside its version."""

from __future__ import annotations

import json
from collections.abc import Callable

from contract.model.manifest import ModelManifest
from contract.model.version_files import REPORT_HTML, REPORT_JSON
from trainer.report.facts import published
from trainer.report.page import render
from trainer.report.parts import Facts
from trainer.report.pictures import draw_all

SCHEMA_VERSION = 2


def draw_report(facts: Facts) -> Callable[[ModelManifest], dict[str, bytes]]:
    """Draw the pictures of the `facts` of `gather`, which takes seconds. Return the function that makes the files of
    the report of a version.

    Other facts may raise any exception.
    """
    pictures = draw_all(facts)

    def files(manifest: ModelManifest) -> dict[str, bytes]:
        known = {"schema_version": SCHEMA_VERSION, **facts, **published(manifest)}
        text = json.dumps(known, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        page = render(known, pictures)
        return {REPORT_JSON: f"{text}\n".encode(), REPORT_HTML: f"{page}\n".encode()}

    return files
