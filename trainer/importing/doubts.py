"""The warnings about what an import had to assume. They disappear once an edited signature says what is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from contract.signature import Null, Signature
from contract.wording import listed, shown

_EDIT = "with an edited signature (docs/how-to/edit-a-signature.md)"
_UNDECIDED = ", and its own code takes several"
_KINDS = re.compile(rf"the types? of .* unknown({_UNDECIDED})?, so (\w+) are assumed", re.DOTALL)
_WHOLE_NUMBERS = re.compile(r"its answers depend on whether .* written as 1 or as 1\.0,", re.DOTALL)
_SAMPLED = "the sample has whole numbers"
_NULLS = re.compile(r"null in .* is refused: the model answers", re.DOTALL)
_OUTPUTS = re.compile(r"the names of .* outputs are unknown, so they are called", re.DOTALL)


def unknown_kinds(names: Sequence[str], assumed: str = "numbers", undecided: bool = False) -> str:
    """Return the warning about inputs of which nothing shows the kind. `assumed`: numbers, words or dates. `undecided`:
    code of the user's own takes several of these."""
    others = " or ".join(kind for kind in ("numbers", "words", "dates") if kind != assumed)
    type_of, are = ("type", "is") if len(names) == 1 else ("types", "are")
    return (
        f"the {type_of} of {listed(names)} {are} unknown{_UNDECIDED if undecided else ''}, so {assumed} are assumed; if"
        f" they are {others},"
        f" say so {_EDIT}, or import the model again with a sample"
    )


def unknown_whole_numbers(names: Sequence[str], sampled: bool) -> str:
    """Return the warning about inputs whose whole numbers may have been integers or floats when the model was
    fitted."""
    way_out = (
        f"{_SAMPLED}, so integers are required: if it was fitted on floats, write them as 1.0 in the sample, and import"
        " it again"
        if sampled
        else "numbers are required: if it was fitted on integers, import it again with a sample"
    )
    return (
        f"its answers depend on whether {listed(names)} {'is' if len(names) == 1 else 'are'} written as 1 or as 1.0,"
        f" and it does not show which it was fitted on; {way_out}, or set the kind {_EDIT}"
    )


def unknown_nulls(names: Sequence[str]) -> str:
    """Return the warning about inputs that are answered differently for None, NaN and NA."""
    return (
        f"null in {listed(names)} is refused: the model answers None, NaN and pandas' NA differently, and nothing shows"
        f" which of them it was fitted on; publish it from Python with its rows (X), or set nullable and null {_EDIT}"
    )


def mixed_nulls(names: Sequence[str], null: Null) -> str:
    """Return the warning about inputs whose estimator knows several kinds of null, of which a request has one."""
    known, other = ("None", "NaN") if null is Null.NONE else ("NaN", "pandas' NA")
    return (
        f"a null in {listed(names)} reaches the model as {known}; it knows {other}, too, and answers it differently:"
        " fit it on one of them"
    )


def unknown_outputs(names: Sequence[str]) -> str:
    """Return the warning about outputs with made-up names."""
    return f"the names of its outputs are unknown, so they are called {listed(names)}; rename them {_EDIT}"


def undecided(warnings: Iterable[str]) -> bool:
    """Return whether a warning is about an input of which code of the user's own takes several kinds: a wrong guess
    refuses every row, or answers it wrongly."""
    for warning in warnings:
        kinds, numbers = _KINDS.match(warning), _WHOLE_NUMBERS.match(warning)
        if (kinds and kinds[1]) or (numbers and _SAMPLED not in warning):
            return True
    return False


def remaining(warnings: Iterable[str], old: Signature, new: Signature) -> list[str]:
    """Return the warnings of a version whose signature was `old` and is `new`.

    A doubt names those inputs and outputs that it is still about, and is gone without any. A doubt about more of them
    than its warning lists stays.
    """
    inputs = {
        before.name: None if before.kind is not after.kind or before.guessed > after.guessed else after.name
        for before, after in zip(old.inputs, new.inputs, strict=True)
    }
    nulls = {
        before.name: after.name if (before.nullable, before.null) == (after.nullable, after.null) else None
        for before, after in zip(old.inputs, new.inputs, strict=True)
    }
    outputs = {
        str(before.name): after.name if before.name == after.name else None
        for before, after in zip(old.outputs, new.outputs, strict=True)
    }
    found = []
    for warning in warnings:
        make, names = (unknown_nulls, nulls) if _NULLS.match(warning) else _doubt(warning, inputs, outputs)
        doubtful = [name for name in names if shown(name) in warning]
        if make is None or not doubtful or " more" in warning:
            found.append(warning)
        elif left := [now for name in doubtful if (now := names[name]) is not None]:
            found.append(make(left))
    return found


def _doubt(
    warning: str, inputs: Mapping[str, str | None], outputs: Mapping[str, str | None]
) -> tuple[Callable[[Sequence[str]], str] | None, Mapping[str, str | None]]:
    """Return the function that writes this warning, and the names that it may be about; None: it is no doubt."""
    if kinds := _KINDS.match(warning):
        return partial(unknown_kinds, assumed=kinds[2], undecided=bool(kinds[1])), inputs
    if _WHOLE_NUMBERS.match(warning):
        return partial(unknown_whole_numbers, sampled=_SAMPLED in warning), inputs
    return (unknown_outputs, outputs) if _OUTPUTS.match(warning) else (None, {})
