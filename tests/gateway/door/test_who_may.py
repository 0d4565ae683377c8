"""The table of who may do what in docs/explanation/trust.md: each of its cells is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from redis import Redis

from contract.work.api_keys import Limits
from tests.gateway.door.who_may import ACTIONS, HEAD, HEAD_OF_LIMITS, KEYS, LIMITS, WITHIN, Gate, gate_with_keys
from tests.support import PROJECT

pytestmark = pytest.mark.waits


@pytest.fixture
def gate(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Gate]:
    with gate_with_keys(redis, redis_url, tmp_path) as made:
        yield made


def _documented(first: str) -> dict[tuple[str, str], str]:
    """Return the table that begins with a cell: each cell by its row and column."""
    text = (PROJECT / "docs" / "explanation" / "trust.md").read_text()
    head, _, *lines = text[text.index(f"| {first} | ") :].partition("\n\n")[0].splitlines()
    columns = [cell.strip() for cell in head.split("|")[2:-1]]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {(row[0], column): cell for row in rows for column, cell in zip(columns, row[1:], strict=True)}


DOCUMENTED, DOCUMENTED_LIMITS = _documented(HEAD), _documented(HEAD_OF_LIMITS)


@pytest.mark.parametrize(("action", "who"), DOCUMENTED)
def test_a_cell_of_the_table(gate: Gate, action: str, who: str) -> None:
    assert gate.answer(action, who) == DOCUMENTED[action, who]


@pytest.mark.parametrize(("limit", "action"), DOCUMENTED_LIMITS)
def test_a_cell_of_the_table_of_limits(gate: Gate, limit: str, action: str) -> None:
    assert gate.beyond(limit, action) == DOCUMENTED_LIMITS[limit, action]


def test_the_table_of_limits_has_every_limit_with_every_action() -> None:
    assert set(DOCUMENTED_LIMITS) == {(limit, action) for limit in LIMITS for action in WITHIN}
    assert set(LIMITS) == {f"`{entry.name}`" for entry in fields(Limits)}


def test_the_table_has_every_action_with_every_kind_of_key() -> None:
    assert set(DOCUMENTED) == {(action, who) for action in ACTIONS for who in KEYS}


def test_the_actions_ask_for_every_level_of_the_routes(gate: Gate) -> None:
    assert gate.asked_levels() == gate.levels()
