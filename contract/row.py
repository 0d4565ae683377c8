"""One row of a request and the answer to it, as the values that JSON has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import eq
from typing import Any, overload

Value = str | int | float | bool | None
Record = Mapping[str, Value | Sequence[str]]
Row = Sequence[Any]
"""One instance: a `Value` for each input of the signature, in its order; or one `Record` alone, where rows are such."""
Answer = Value | Sequence["Answer"] | Mapping[str, "Answer"]
"""What a method of a model answers for one row (`contract.model.signature.AnswerForm`)."""


class ColumnarRows(Sequence[Row]):
    """Many rows, held as the `columns` of a table: the values of each input, one a row. They are checked, sent and made
    a matrix column by column, which takes a fraction of the time."""

    __slots__ = ("columns",)

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        """There is at least one column, and all have the same length."""
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[Row]:
        return zip(*self.columns, strict=True)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> ColumnarRows: ...
    def __getitem__(self, index: int | slice) -> Row | ColumnarRows:
        if isinstance(index, slice):
            return ColumnarRows([column[index] for column in self.columns])
        return tuple(column[index] for column in self.columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]
