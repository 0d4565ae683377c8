"""What a server says cannot control the terminal."""

from __future__ import annotations

import io
import json

import pytest
from modelgate.command.session import Session
from modelgate.command.terminal import figure, one_line, print_json, table
from modelgate.errors import error_of
from modelgate.progress import ProgressBar
from modelgate.text import without_password
from rich.console import Console

HOSTILE = "a\x1b]0;title\x07\u202eb\x9b2J"


def test_control_characters_are_replaced_in_lines_tables_and_errors() -> None:
    out = io.StringIO()
    session = Session()
    session.out = Console(file=out, width=80)
    session.print(HOSTILE)
    session.print(table(("NAME",), [(HOSTILE,)]))
    assert out.getvalue().count("a\ufffd]0;title\ufffd\ufffdb\ufffd2J") == 2
    assert one_line(f"{HOSTILE}\n  next") == "a\ufffd]0;title\ufffd\ufffdb\ufffd2J next"


def test_control_characters_are_escaped_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({HOSTILE: [f"ü\n{HOSTILE}"]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {HOSTILE: [f"ü\n{HOSTILE}"]}
    assert not set(printed) & set("\x1b\x07\u202e\x9b")


def test_control_characters_are_replaced_in_a_log_and_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(shown=True)
    bar.print(f"one\n{HOSTILE}\n")
    bar.show({"phase": HOSTILE})
    shown = capsys.readouterr().err
    assert shown.count("a\ufffd]0;title\ufffd\ufffdb\ufffd2J") == 2 and "one\n" in shown


def test_a_bar_says_when_all_is_sent_because_the_answer_may_take_long(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(shown=True)
    for done in (5, 10):
        bar.count(done, 10)
    first, last = capsys.readouterr().err.split("\r")[1:]
    assert "50% sending 5/10 bytes" in first and "100% sent; waiting for the answer" in last


def test_control_characters_are_replaced_in_errors() -> None:
    for problem in ({"detail": HOSTILE}, {"detail": "", "errors": [{"row": 1, "message": HOSTILE}]}):
        assert "a\ufffd]0;title" in str(error_of(422, problem)) and "\x1b" not in str(error_of(422, problem))


def test_the_doctor_shows_no_password_of_an_address() -> None:
    assert without_password("http://ada:p@ss@proxy:3128/x") == "http://…@proxy:3128/x"
    assert without_password("http://127.0.0.1:8080") == "http://127.0.0.1:8080"


@pytest.mark.parametrize(("value", "shown"), [(11_880.4, "11,880"), (0.81234, "0.8123"), (-12.5, "-12.5"), (0, "0")])
def test_a_figure_has_no_exponent_for_its_size(value: float, shown: str) -> None:
    assert figure(value) == shown
