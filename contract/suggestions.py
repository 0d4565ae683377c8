"""Suggestions for misspelt names. Their cost is bounded, because callers choose the names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LONGEST = 64
"""Longest name, in characters, that is compared."""


class Suggestions:
    """The suggestions of one request. All comparisons together take at most `steps` of about a tenth of a microsecond;
    after that there are no more suggestions."""

    def __init__(self, steps: int = 500_000) -> None:
        self._left = steps

    def closest(self, word: str, choices: Iterable[str], least: float) -> str | None:
        """Return the most similar of `choices`, the first of equals, with a similarity of at least `least` (0 to 1).
        Case does not matter."""
        if len(word) > LONGEST or self._left <= 0:
            return None
        matcher: SequenceMatcher[str] = SequenceMatcher()
        matcher.set_seq2(word.lower())
        best, closest = least, None
        for choice in choices:
            if not self._affords((len(word) + min(len(choice), LONGEST)) // 4 + 1):
                break
            if len(choice) > LONGEST:
                continue
            matcher.set_seq1(choice.lower())
            # The quick ratios are never too low.
            if matcher.real_quick_ratio() < best or matcher.quick_ratio() < best:
                continue
            if not self._affords(len(word) * len(choice)):
                break
            ratio = matcher.ratio()
            if ratio > best or (ratio == best and closest is None):
                best, closest = ratio, choice
        return closest

    def _affords(self, steps: int) -> bool:
        self._left -= steps
        return self._left > 0
