"""What `make train` shows, and where it trains."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from launcher.train import Bar, line
from tests.support import PROJECT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PROGRESS = {
    "phase": "comparing",
    "fraction": 0.5,
    "done": 3,
    "total": 6,
    "unit": "candidates",
    "best": 0.8714,
    "seconds_left": 12.4,
}


def test_a_line_says_how_far_it_is() -> None:
    assert line(PROGRESS, 100) == "[##########----------]  50% comparing 3/6, best 0.871, 12 s left"
    assert line({"phase": "fitting", "fraction": 7}, 100) == "[####################] 100% fitting"
    assert line({}, 100) == "[--------------------]   0% "
    assert len(line(PROGRESS, 30)) == 30


def test_a_terminal_has_one_line_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    bar = Bar(out)
    for fraction in (0.1, 0.9):
        bar.show({"phase": "fitting", "fraction": fraction})
    bar.close()
    assert out.getvalue().count("\r") == 2 and out.getvalue().count("\n") == 1


def test_elsewhere_each_phase_has_a_line() -> None:
    out = io.StringIO()
    bar = Bar(out)
    for phase in ("reading", "fitting", "fitting"):
        bar.show({"phase": phase, "fraction": 0.1})
    bar.close()
    assert out.getvalue() == "reading\nfitting\n"


def test_without_a_modelgate_it_trains_right_here(tmp_path: Path) -> None:
    environment = {**os.environ, "MODELS_DIR": str(tmp_path), "PORT": "1"}
    command = ["make", "--silent", "--old-file", ".venv/up.stamp", "train", "NAME=no-such-recipe", "CSV=my rows.csv"]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert "python -m trainer: error: there is no recipe 'no-such-recipe'" in ended.stderr
    ended = subprocess.run(
        [*command, "TARGET=y"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "no-such-recipe: CSV file my rows.csv" in ended.stdout
