"""The files of one version, in the model repository or staged for it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from contract.files import open_regular, read_regular

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.sig"
"""Beside a manifest: the 64 bytes of an ed25519 signature over the bytes of the manifest. See scoring/trust.py."""
SIGNATURE_BYTES = 64
REPORT_DIR, REPORT_HTML, REPORT_JSON = "report", "report.html", "report.json"
CARD_JSON, CARD_MARKDOWN, JOB_FILE = "card.json", "card.md", "job.json"
"""Beside the report: the model card, and the job that has trained the version, with its result before the alias
moved."""


@dataclass(frozen=True)
class VersionFiles:
    """Reads the files of a version. Methods that return content raise OSError."""

    folder: Path

    def exist(self) -> bool:
        return (self.folder / MANIFEST_FILE).is_file()

    def manifest(self) -> bytes:
        return read_regular(self.folder / MANIFEST_FILE)

    def is_signed(self) -> bool:
        return (self.folder / SIGNATURE_FILE).exists()

    def signature(self) -> bytes:
        """Return the signature, or the beginning of what is too long to be one."""
        with open_regular(self.folder / SIGNATURE_FILE) as file:
            return file.read(SIGNATURE_BYTES + 1)

    def open_artifact(self, name: str) -> BinaryIO:
        return open_regular(self.folder / name)

    def has_report(self, name: str = REPORT_HTML) -> bool:
        """Return whether there is this file of the report."""
        return (self.folder / REPORT_DIR / name).is_file()

    def report(self, name: str) -> bytes:
        """Return a file of the report."""
        return read_regular(self.folder / REPORT_DIR / name)

    def report_facts(self) -> dict[str, Any] | None:
        """Return what the report says, or None without a readable one."""
        try:
            facts = json.loads(self.report(REPORT_JSON))
        except (OSError, ValueError, RecursionError):
            return None
        return facts if isinstance(facts, dict) else None

    def training_job(self) -> str | None:
        """Return the id of the job that has trained the version, or None."""
        try:
            job = json.loads(self.report(JOB_FILE))["job"]
        except (OSError, ValueError, RecursionError, LookupError, TypeError):
            return None
        return job if isinstance(job, str) else None

    def stamps(self) -> frozenset[tuple[str, int, int]]:
        """Return what changes when a file of the version changes; empty if there is none."""
        try:
            with os.scandir(self.folder) as entries:
                stats = [(entry.name, entry.stat()) for entry in entries]
        except OSError:
            return frozenset()
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
