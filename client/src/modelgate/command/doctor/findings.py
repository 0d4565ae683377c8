"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    DOUBT = "doubt"
    """Something may be wrong, or could not be examined."""
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was examined: `text` says what is so, `advice` what to do."""

    level: Severity
    text: str
    advice: str = ""


class Stop(Exception):
    """A finding after which nothing more can be found out."""

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.finding = Finding(Severity.BAD, text, advice)


def good(text: str) -> Finding:
    return Finding(Severity.GOOD, text)


def doubt(text: str, advice: str = "") -> Finding:
    return Finding(Severity.DOUBT, text, advice)


def bad(text: str, advice: str) -> Finding:
    return Finding(Severity.BAD, text, advice)
