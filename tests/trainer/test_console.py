"""What the trainer prints cannot command the terminal that shows it."""

from __future__ import annotations

import pytest

from trainer.console import print_line


def test_control_characters_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("trainer: loan: 'age\x1b[2J\x9b' and\ttab\ntrainer: loan: € 5\r")
    assert capsys.readouterr().out == "trainer: loan: 'age\\x1b[2J\\x9b' and\ttab\ntrainer: loan: € 5\\x0d\n"
