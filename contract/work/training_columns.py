"""Resolves the columns that a training names against the header of its file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from contract.errors import MAX_ERRORS, FieldError
from contract.wording import Suggestions, listed, shown
from contract.work.training import KINDS


@dataclass(frozen=True)
class Columns:
    """Target, features (None: all others), id field and kinds by column, as the header spells them."""

    target: str
    features: Sequence[str] | None
    id_field: str | None
    kinds: Mapping[str, str]


def resolve_columns(
    header: Sequence[str], target: str, features: Sequence[str] | None, id_field: str | None, kinds: Mapping[str, str]
) -> tuple[Columns, list[FieldError]]:
    """Resolve the names, in any case if that is unambiguous. An unknown name stays as it is, with an error.

    Returns only the first errors: requests and headers may have thousands of names.
    """
    errors: list[FieldError] = []
    exact, suggestions = set(header), Suggestions()
    alike = _in_any_case([target, *(features or ()), id_field or "", *kinds], exact)

    def find(name: str, field: str) -> str:
        if name in exact:
            return name
        matches = alike.get(name.strip().lower(), set())
        if len(matches) == 1:
            return next(iter(matches))
        if len(errors) < MAX_ERRORS:
            message = (
                f"{field} names {shown(name)}, which is not a column of the data; {_hint(name, header, suggestions)}"
            )
            errors.append(FieldError(None, field, "unknown_column", message))
        return name

    columns = Columns(
        target=find(target, "target"),
        features=None if features is None else [find(name, "features") for name in features],
        id_field=find(id_field, "id_field") if id_field else None,
        kinds={find(name, "kinds"): kind for name, kind in kinds.items()},
    )
    for name, kind in kinds.items():
        if kind not in KINDS and len(errors) < MAX_ERRORS:
            message = f"kinds says {shown(kind)} of {shown(name)}; a kind is one of {', '.join(KINDS)}"
            errors.append(FieldError(None, "kinds", "unknown_kind", message))
    return columns, errors + list(_contradictions(header, columns))


def _contradictions(header: Sequence[str], columns: Columns) -> Iterator[FieldError]:
    repeated = (name for name, count in Counter(header).items() if count > 1 and name)
    if name := next(repeated, None):
        message = f"the data have the column {shown(name)} twice; rename one of them"
        yield FieldError(None, "data", "repeated_field", message)
    target = shown(columns.target)
    if columns.id_field == columns.target:
        message = f"id_field and target both name {target}; the id field is only echoed"
        yield FieldError(None, "id_field", "repeated_field", message)
    if columns.features is not None and set(columns.features) <= {columns.target, columns.id_field}:
        message = f"features has no column to predict {target} from; name others, or leave it out"
        yield FieldError(None, "features", "not_a_feature", message)
    if columns.kinds.get(columns.target, "").startswith("datetime"):
        message = f"kinds makes the target {target} a date; a recipe learns numbers and classes"
        yield FieldError(None, "kinds", "not_a_target", message)


def _in_any_case(names: Iterable[str], columns: Iterable[str]) -> Mapping[str, set[str]]:
    """Return the columns that `names` may mean, by their names in lower case."""
    wanted = {name.strip().lower() for name in names}
    alike = defaultdict(set)
    for column in columns:
        if (spelling := column.lower()) in wanted:
            alike[spelling].add(column)
    return alike


def _hint(name: str, header: Sequence[str], suggestions: Suggestions) -> str:
    near = suggestions.closest(name, filter(None, header), 0.6)
    return f"did you mean {shown(near)}?" if near else f"there are {listed(header)}"
