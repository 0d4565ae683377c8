"""The report of a version: what a data scientist wants to see before trusting it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.manifest import ModelManifest
from contract.repository import REPORT_HTML, REPORT_JSON
from trainer.report.evidence import Evidence
from trainer.report.facts import gather, published
from trainer.report.page import render
from trainer.report.parts import Facts
from trainer.report.pictures import draw_all

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Report:
    """What can be said before a version has its number; saying it takes seconds, writing it does not."""

    facts: Facts
    pictures: dict[str, Any]

    @classmethod
    def of(cls, evidence: Evidence) -> Report:
        """Raises nothing: a part that cannot be made says why in its place."""
        return cls.drawn(gather(evidence))

    @classmethod
    def drawn(cls, facts: Facts) -> Report:
        """Render `facts` of `gather`; other facts raise any exception."""
        return cls(facts, draw_all(facts))

    def write(self, folder: Path, manifest: ModelManifest) -> None:
        """`report.html` and `report.json` in `folder`, which is there. Raises OSError."""
        facts = {"schema_version": SCHEMA_VERSION, **self.facts, **published(manifest)}
        text = json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        (folder / REPORT_JSON).write_text(text + "\n", encoding="utf-8")
        (folder / REPORT_HTML).write_text(render(facts, self.pictures) + "\n", encoding="utf-8")
