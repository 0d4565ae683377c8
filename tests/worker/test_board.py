"""What one process notes on the board, another reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import Sum, numbers, write_version
from worker.board import Board
from worker.pace import Pace
from worker.slow_models import SlowModels


@pytest.fixture
def board() -> Board:
    return Board.create(3)


def test_a_note_outlives_the_process_that_wrote_it(board: Board) -> None:
    pid = os.fork()
    if pid == 0:
        board.begin(1, ["a", "b"], 5)
        os._exit(9)
    os.waitpid(pid, 0)
    other = Board(os.dup(board.descriptor), 3)
    note = other.note(1)
    assert note
    assert (note.subjects, note.seconds, note.overdue) == (("a", "b"), 5, False)
    assert other.note(0) is other.note(2) is None


def test_what_is_over_is_not_noted(board: Board) -> None:
    board.begin(0, ["a"], 5)
    board.end(0)
    assert board.note(0) is None


def test_the_same_thing_begun_again_is_another_note(board: Board) -> None:
    board.begin(0, ["a"], 5)
    first = board.note(0)
    board.begin(0, ["a"], 5)
    assert board.note(0) != first


def test_what_takes_too_long_is_overdue(board: Board) -> None:
    board.begin(0, ["a"], -1)
    note = board.note(0)
    assert note
    assert note.overdue


def test_as_many_ids_as_a_batch_can_have_fit(board: Board) -> None:
    ids = [f"{number:036}" for number in range(1000)]
    board.begin(2, ids, 5)
    note = board.note(2)
    assert note
    assert list(note.subjects) == ids


class TestSlowModels:
    """Two scorers; `a` is in the first slot."""

    @pytest.fixture(autouse=True)
    def scorers(self, board: Board, models: Path) -> None:
        for name in ("quick", "slow"):
            write_version(models, name, Sum(), numbers("x"))
        self.served = {"quick", "slow"}
        self.paces = [Pace(50), Pace(50)]
        self.a, self.b = (SlowModels(board, slot, 2, self.paces[slot], lambda: self.served) for slot in (0, 1))

    def test_the_first_scorer_leaves_alone_what_any_has_found_slow(self) -> None:
        assert self.a.left_alone() == set()
        self.paces[1].measured("slow", 1, 1, 1000)
        assert self.b.left_alone() == set()
        assert self.a.left_alone() == {"slow"}
        self.paces[1].measured("slow", 1, 1, 1)
        self.b.left_alone()
        assert self.a.left_alone() == set()

    def test_nothing_is_left_alone_where_all_is_slow(self) -> None:
        self.served = {"slow"}
        self.paces[1].measured("slow", 1, 1, 1000)
        self.b.left_alone()
        assert self.a.left_alone() == set()

    def test_a_new_scorer_knows_what_the_one_before_it_found(self, board: Board) -> None:
        self.paces[1].measured("slow", 1, 1, 1000)
        self.b.left_alone()
        pace = Pace(50)
        SlowModels(board, 1, 2, pace, lambda: self.served)
        assert pace.slow == {"slow"}

    def test_a_lone_scorer_takes_everything(self, board: Board) -> None:
        pace = Pace(50)
        lone = SlowModels(board, 0, 1, pace, lambda: self.served)
        pace.measured("slow", 1, 1, 1000)
        assert lone.left_alone() == set()
