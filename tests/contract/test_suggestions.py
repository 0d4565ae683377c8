"""Near misses cost a bounded number of comparisons, whatever is compared."""

from __future__ import annotations

from contract.wording import Suggestions


def test_the_most_similar_name_is_suggested() -> None:
    assert Suggestions().closest("sepal lenght", ["petal_length", "sepal_length", "species"], 0.6) == "sepal_length"
    assert Suggestions().closest("NOX", ["nox", "noxx"], 0.7) == "nox"
    assert Suggestions().closest("quite different", ["nox", "sepal_length"], 0.6) is None


def test_long_names_are_not_compared() -> None:
    assert Suggestions().closest("a" * 65, ["a" * 65], 0.6) is None
    assert Suggestions().closest("a" * 64, ["a" * 65, "a" * 63], 0.6) == "a" * 63


def test_nothing_is_suggested_once_the_steps_of_a_request_are_used_up() -> None:
    suggestions = Suggestions(steps=150)
    assert suggestions.closest("abcdefghij", ["abcdefghik"], 0.6) == "abcdefghik"
    assert suggestions.closest("abcdefghij", ["abcdefghik"], 0.6) is None
    assert Suggestions(steps=5).closest("a", map(str, range(10**9)), 0.6) is None
