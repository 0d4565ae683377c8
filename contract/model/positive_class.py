"""The class of a classifier that figures look at: the rarer one of two, such as `fraud`."""

from __future__ import annotations

from collections.abc import Sequence

from contract.row import Value

_NOTHING_HAPPENED = frozenset({"0", "false", "no", "none", "normal", "ok", "negative"})


def positive_class(labels: Sequence[Value], counts: Sequence[int]) -> int:
    """Return the position of the rarest of `labels`. Of equally rare ones, one that does not say that nothing has
    happened; of several such, the last."""
    return min(
        range(len(labels)), key=lambda at: (counts[at], str(labels[at]).strip().lower() in _NOTHING_HAPPENED, -at)
    )
