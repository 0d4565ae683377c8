"""The report of a version: what a data scientist wants to see before trusting it."""

from __future__ import annotations

import json
import os
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

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What can be said before a version has its number; saying it takes seconds, writing it does not."""

    facts: Facts
    pictures: dict[str, Any]

    @classmethod
    def of(cls, evidence: Evidence) -> Report:
        """Raises nothing: a part that cannot be made says why in its place."""
        facts = gather(evidence)
        return cls(facts, draw_all(facts))

    def write(self, folder: Path, manifest: ModelManifest) -> None:
        """`report.html` and `report.json` in `folder`, flushed to disk. Raises OSError."""
        facts = {"schema_version": SCHEMA_VERSION, **published(manifest), **self.facts}
        folder.mkdir(exist_ok=True)
        _write(folder / REPORT_JSON, json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":")))
        _write(folder / REPORT_HTML, render(facts, self.pictures))
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write(folder: Path, evidence: Evidence) -> None:
    """The report of the version in `evidence.manifest`. Raises OSError."""
    Report.of(evidence).write(folder, evidence.manifest)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
