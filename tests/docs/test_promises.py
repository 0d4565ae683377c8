"""A minor release takes nothing away that 1.0.0 has promised."""

from __future__ import annotations

from pathlib import Path

from tests.docs.promises import promises


def test_whatever_1_0_has_promised_is_still_there() -> None:
    kept = set(promises())
    promised = Path(__file__).with_name("promises-of-1.0.txt").read_text().splitlines()
    assert len(promised) > 1000
    assert [line for line in promised if line not in kept] == []
