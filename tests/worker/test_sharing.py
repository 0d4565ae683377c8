"""If not all models fit, those that are used most are shared, and the choice changes rarely."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from worker.sharing import Sharing

SIZES = dict.fromkeys("abcdefgh", 10)


class Chosen:
    """A choice of models of 10 bytes in a memory of 60, of which half may be shared."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sharing = Sharing(60, lambda: self.now)
        self.shared = "abcdefg"

    def after(self, seconds: float, use: Mapping[str, float]) -> str:
        self.now += seconds
        self.shared = "".join(self.sharing.choose(SIZES, self.shared, lambda: use))
        return self.shared


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


def test_all_models_are_shared_if_they_fit() -> None:
    sharing = Sharing(80)
    assert list(sharing.choose(SIZES, (), dict)) == list(SIZES)
    assert not sharing.crowded


def test_the_models_that_are_used_most_are_shared(chosen: Chosen) -> None:
    assert chosen.after(0, {}) == "abc", "of those that were shared, as many as fit"
    use = {"f": 100.0, "h": 50.0, "b": 20.0, "a": 1.0}
    assert chosen.after(19, use) == "abc", "too soon"
    assert chosen.after(1, use) == "bfh"
    assert chosen.sharing.crowded


def test_nothing_is_shared_before_anything_is_known(chosen: Chosen) -> None:
    chosen.shared = ""
    assert chosen.after(0, {}) == ""
    assert chosen.after(20, {"f": 100.0, "h": 50.0}) == "fh", "the others were never used"


def test_a_small_gain_or_too_few_jobs_change_nothing(chosen: Chosen) -> None:
    chosen.after(0, {})
    assert chosen.after(1000, {"a": 100, "b": 100, "c": 100, "d": 20, "e": 20}) == "abc"
    assert chosen.after(1000, {"f": 99}) == "abc"


def test_each_change_doubles_the_time_to_the_next(chosen: Chosen) -> None:
    chosen.after(0, {})
    assert chosen.after(20, {"f": 100}) == "abf"
    assert chosen.after(39, {"g": 100}) == "abf"
    assert chosen.after(1, {"g": 100}) == "abg"
    assert chosen.after(79, {"h": 100}) == "abg"
    assert chosen.after(1, {"h": 100}) == "abh"


def test_models_that_fit_again_are_all_shared(chosen: Chosen) -> None:
    chosen.after(0, {})
    few = dict.fromkeys("abcd", 10)
    assert list(chosen.sharing.choose(few, "abc", dict)) == list(few)
    assert not chosen.sharing.crowded


def test_a_model_too_large_to_be_shared_leaves_the_room_to_others() -> None:
    sharing = Sharing(60)
    sizes = {**SIZES, "large": 40}
    assert set(sharing.choose(sizes, sizes, lambda: {"large": 100})) == {"a", "b", "c"}
