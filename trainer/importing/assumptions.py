"""Remarks about what an import had to assume. They disappear once an edited signature says what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from contract.model.manifest import Remark
from contract.model.signature import Null, Signature
from contract.wording import listed

_EDIT = "with an edited signature (docs/how-to/edit-a-signature.md)"
_KINDS, _ALL_KINDS = ("numbers", "words", "dates"), ("numbers", "words", "dates", "booleans", "integers")
_NULLS, _RANDOM_NULLS, _OUTPUTS = "unknown_nulls", "random_nulls", "unknown_outputs"
_UNDECIDED, DOUBT = "undecided_", "undecided_doubt"
"""Begins the codes of remarks for which a version waits until a person has decided."""
_ZONES = "undecided_zones"


def unknown_kinds(names: Sequence[str], assumed: str = "numbers", undecided: bool = False) -> Remark:
    """Return the warning about inputs of which nothing shows the kind. `assumed`: one of `_ALL_KINDS`. `undecided`:
    code of the user's own takes several of these."""
    others = " or ".join(kind for kind in _KINDS if kind != assumed)
    type_of, are = ("type", "is") if len(names) == 1 else ("types", "are")
    text = (
        f"the {type_of} of {listed(names)} {are} unknown{', and its own code takes several' if undecided else ''}, so"
        f" {assumed} are assumed; if they are {others}, say so {_EDIT}, or import the model again with a sample"
    )
    return Remark(text, f"{'undecided' if undecided else 'unknown'}_{assumed}", tuple(names))


def unknown_whole_numbers(names: Sequence[str], sampled: bool) -> Remark:
    """Return the warning about inputs whose whole numbers may have been integers or floats when the model was
    fitted."""
    way_out = (
        "the sample has whole numbers, so integers are required: if it was fitted on floats, write them as 1.0 in the"
        " sample, and import it again"
        if sampled
        else "numbers are required: if it was fitted on integers, import it again with a sample"
    )
    text = (
        f"its answers depend on whether {listed(names)} {'is' if len(names) == 1 else 'are'} written as 1 or as 1.0,"
        f" and it does not show which it was fitted on; {way_out}, or set the kind {_EDIT}"
    )
    return Remark(text, f"{'unknown' if sampled else 'undecided'}_whole_numbers", tuple(names))


def unknown_floats(names: Sequence[str]) -> Remark:
    """Return the warning about inputs that may have been floats of 32 bits, as others were."""
    return Remark(
        f"its answers depend on whether {listed(names)} had floats of 32 or of 64 bits when it was fitted, which it"
        " does not show; 64 are assumed: fit it on columns of one type if that is wrong"
    )


def unknown_nulls(names: Sequence[str]) -> Remark:
    """Return the warning about inputs that are answered differently for None, NaN and NA."""
    text = (
        f"null in {listed(names)} is refused: the model answers None, NaN and pandas' NA differently, and nothing shows"
        f" which of them it was fitted on; publish it from Python with its rows (X), or set nullable and null {_EDIT}"
    )
    return Remark(text, _NULLS, tuple(names))


def unknown_zones(names: Sequence[str]) -> Remark:
    """Return the warning about dates whose offsets in the sample belong to no known time zone."""
    text = (
        f"the time zone of {listed(names)} is unknown, since the offsets in the sample change, and UTC is assumed;"
        f" write the zone behind each date, as in 2024-07-01T20:00:00+02:00[Europe/Berlin], or set zone {_EDIT}"
    )
    return Remark(text, _ZONES, tuple(names))


def random_nulls(names: Sequence[str]) -> Remark:
    """Return the warning about inputs whose nulls are replaced by random numbers."""
    text = (
        f"null in {listed(names)} is refused: the model answers a row with one differently each time, since it draws"
        " random numbers for it; fit it without them, as with sample_posterior=False in an IterativeImputer"
    )
    return Remark(text, _RANDOM_NULLS, tuple(names))


def mixed_nulls(names: Sequence[str], null: Null) -> Remark:
    """Return the warning about inputs whose estimator knows several kinds of null, of which a request has one."""
    known, other = ("None", "NaN") if null is Null.NONE else ("NaN", "pandas' NA")
    return Remark(
        f"a null in {listed(names)} reaches the model as {known}; it knows {other}, too, and answers it differently:"
        " fit it on one of them"
    )


def doubt(text: str) -> Remark:
    """Return a warning for which the version waits until a person has decided."""
    return Remark(text, DOUBT)


def unknown_outputs(names: Sequence[str]) -> Remark:
    """Return the warning about outputs with made-up names."""
    text = f"the names of its outputs are unknown, so they are called {listed(names)}; rename them {_EDIT}"
    return Remark(text, _OUTPUTS, tuple(names))


_ASSUMPTIONS: Sequence[Callable[[Sequence[str]], Remark]] = (
    *(partial(unknown_kinds, assumed=kind, undecided=undecided) for kind in _ALL_KINDS for undecided in (False, True)),
    *(partial(unknown_whole_numbers, sampled=sampled) for sampled in (False, True)),
    unknown_nulls,
    random_nulls,
    unknown_zones,
    unknown_outputs,
)
_BY_CODE: Mapping[str, Callable[[Sequence[str]], Remark]] = {assume(()).code: assume for assume in _ASSUMPTIONS}
_DECIDED_BY = {
    **dict.fromkeys((_NULLS, _RANDOM_NULLS), attrgetter("nullable", "null")),
    _ZONES: attrgetter("zone", "naive"),
    _OUTPUTS: attrgetter("name"),
}
"""What an edit changes of an input or output for which an assumption is gone, unless that is its kind."""


def undecided(remarks: Iterable[Remark]) -> bool:
    """Return whether an assumption waits for a person: a wrong guess refuses every row, or answers it wrongly."""
    return any(remark.code.startswith(_UNDECIDED) for remark in remarks)


def remaining(remarks: Iterable[Remark], old: Signature, new: Signature) -> list[Remark]:
    """Return the remarks about a version whose signature was `old` and is `new`.

    An assumption names those inputs and outputs that it is still about, and is gone without any.
    """
    inputs = {before.name: (before, after) for before, after in zip(old.inputs, new.inputs, strict=True)}
    outputs = {before.name: (before, after) for before, after in zip(old.outputs, new.outputs, strict=True)}
    remain = []
    for remark in remarks:
        assume, decided_by = _BY_CODE.get(remark.code), _DECIDED_BY.get(remark.code, attrgetter("kind", "guessed"))
        edited: Mapping[Any, tuple[Any, Any]] = outputs if remark.code == _OUTPUTS else inputs
        pairs = [edited[name] for name in remark.fields if assume]
        names = [after.name for before, after in pairs if decided_by(before) == decided_by(after)]
        if names or not assume:
            remain.append(assume(names) if assume else remark)
    return remain
