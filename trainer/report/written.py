"""A report as a whole: made from evidence, and written beside its version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.model.manifest import ModelManifest
from contract.model.repository import REPORT_HTML, REPORT_JSON
from trainer.report.evidence import Evidence
from trainer.report.facts import gather, published
from trainer.report.page import render
from trainer.report.parts import Facts
from trainer.report.pictures import draw_all

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class DrawnReport:
    """A report before its version has a number. Making it takes seconds, writing it is quick."""

    facts: Facts
    pictures: dict[str, Any]

    @classmethod
    def of(cls, evidence: Evidence) -> DrawnReport:
        """Make the report. Raises nothing: a part that fails is replaced by the reason."""
        return cls.drawn(gather(evidence))

    @classmethod
    def drawn(cls, facts: Facts) -> DrawnReport:
        """Draw the pictures of the `facts` of `gather`. Other facts may raise any exception."""
        return cls(facts, draw_all(facts))

    def write(self, folder: Path, manifest: ModelManifest) -> None:
        """Write `report.html` and `report.json` to an existing `folder`. Raises OSError."""
        facts = {"schema_version": SCHEMA_VERSION, **self.facts, **published(manifest)}
        text = json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        (folder / REPORT_JSON).write_text(text + "\n", encoding="utf-8")
        (folder / REPORT_HTML).write_text(render(facts, self.pictures) + "\n", encoding="utf-8")
