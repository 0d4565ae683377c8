"""Near misses: which of the names there are was meant. Bounded, since it is callers who choose what is compared."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

LONGEST = 64
"""Characters of a name that is compared."""


class Suggestions:
    """The near misses that one request is told. All of its comparisons together take at most `steps` of about a tenth
    of a microsecond; after that nothing is near any more."""

    def __init__(self, steps: int = 500_000) -> None:
        self._left = steps

    def near(self, word: str, choices: Iterable[str], least: float) -> str | None:
        """The first of `choices` that is most like `word`, and at least so much (0 to 1); case does not matter."""
        if len(word) > LONGEST or self._left <= 0:
            return None
        matcher: SequenceMatcher[str] = SequenceMatcher()
        matcher.set_seq2(word.lower())
        best, found = least, None
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
            if ratio > best or (ratio == best and found is None):
                best, found = ratio, choice
        return found

    def _affords(self, steps: int) -> bool:
        self._left -= steps
        return self._left > 0
