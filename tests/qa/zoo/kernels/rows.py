"""Many rows for the signature of a model: random ones, and ones at edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.model.signature import Field, Kind, RowFormat, Signature
from contract.row import ColumnarRows, Row, Value
from kernels.tests.compare import BEYOND, HUGE, TINY, WORDS

_INTEGERS = (0, -1, 2, 2**24 + 1, 2**31, 2**53 + 1)


@dataclass(frozen=True)
class Part:
    """Rows of one sort. `covered`: kernels have to answer them if the estimator does."""

    name: str
    rows: Sequence[Row]
    covered: bool = False


def parts_for(signature: Signature, known: Sequence[Row], count: int) -> Iterator[Part]:
    """Yield `count` rows in parts, made of rows that the model is `known` to answer."""
    draw = np.random.default_rng(0)
    if signature.format is not RowFormat.TABLE:
        yield from _parts_of_cells(known, count, draw)
        return
    columns = [*zip(*known, strict=True)]

    def part(name: str, share: float, change: Callable[[Field, list[Any]], Sequence[Value]], covered: bool) -> Part:
        positions = draw.integers(len(known), size=int(count * share))
        drawn = [[column[position] for position in positions] for column in columns]
        return Part(
            name,
            ColumnarRows([change(*column_of_field) for column_of_field in zip(signature.inputs, drawn, strict=True)]),
            covered,
        )

    def jittered(field: Field, values: list[Any]) -> Sequence[Value]:
        if field.kind is not Kind.NUMBER:
            return values
        scale = float(np.nanstd(np.array(values, dtype=np.float64))) or 1.0
        noise = (draw.normal(size=len(values)) * scale * 0.3).tolist()
        return [value if value is None else value + more for value, more in zip(values, noise, strict=True)]

    def some(numbers: Sequence[float], share: float) -> Callable[[Field, list[Any]], Sequence[Value]]:
        def change(field: Field, values: list[Any]) -> Sequence[Value]:
            edges: Sequence[Any] = {
                Kind.NUMBER: numbers,
                Kind.INTEGER: _INTEGERS,
                Kind.STRING: WORDS if field.categories is None else field.categories,
                Kind.BOOLEAN: (False, True),
            }.get(field.kind, ())
            return _replaced(values, edges, share, draw)

        return change

    def nulls(share: float) -> Callable[[Field, list[Any]], Sequence[Value]]:
        return lambda field, values: _replaced(values, (None,), share, draw) if field.nullable else values

    yield part("like the golden rows", 0.3, lambda _, values: values, True)
    yield part("jittered", 0.3, jittered, True)
    yield part("zeros, denormal numbers, unknown words", 0.18, some(TINY, 0.3), False)
    yield part("huge numbers, unknown words", 0.18, some(HUGE, 0.3), False)
    yield part("numbers beyond float32", 0.04, some(BEYOND, 0.02), False)
    if any(field.nullable for field in signature.inputs):
        yield part("nulls", 0.15, nulls(0.3), True)
        yield part("nothing but nulls", 0.01, nulls(2.0), False)


def _replaced(values: list[Any], edges: Sequence[Any], share: float, draw: Any) -> list[Any]:
    if not edges:
        return values
    places = (draw.random(len(values)) < share).tolist()
    chosen = draw.integers(len(edges), size=len(values)).tolist()
    return [edges[edge] if here else value for value, here, edge in zip(values, places, chosen, strict=True)]


def _parts_of_cells(known: Sequence[Row], count: int, draw: Any) -> Iterator[Part]:
    """Yield rows of one text or one record each."""
    cells = [known[position][0] for position in draw.integers(len(known), size=count // 2)]
    yield Part("like the golden rows", [(cell,) for cell in cells], True)
    if isinstance(cells[0], str):
        words = [*" ".join(cells[:500]).split(), *WORDS]
        mixed = [" ".join(draw.choice(words, size=draw.integers(1, 20))) for _ in range(count // 4)]
        yield Part("mixed words", [(text,) for text in mixed], True)
        yield Part("unknown words", [(str(text),) for text in draw.choice(WORDS, size=count // 4)], False)
    else:
        changed = [{**cell, "unknown": 1.0} for cell in cells[: count // 4]]
        yield Part("unknown names", [(cell,) for cell in changed], False)
