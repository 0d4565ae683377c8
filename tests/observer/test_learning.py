"""Rows whose outcome is known come back with what it means, page by page, for a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contract.model.repository import Repository
from contract.model.signature import Field, Kind
from contract.work.observation import Observation, ObservationAction
from observer.learning import Learning
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from tests.observer.log.test_outcomes import INPUTS, by_row, keep, logged, manifest_of, outcomes, send
from tests.support import Sum, write_version

__all__ = ["outcomes"]


@pytest.fixture
def learning(store: LogStore, outcomes: Outcomes, models: Path) -> Learning:
    manifest_of(models)
    return Learning(store, outcomes, Repository(models))


def pages(learning: Learning, limit: int, owner: str | None = None) -> list[dict[str, Any]]:
    asked = Observation(ObservationAction.READ_OUTCOMES, "loan", version=1, owner=owner, limit=limit)
    found = [learning.page(asked)]
    while cursor := found[-1]["next_cursor"]:
        found.append(learning.page(Observation(**{**vars(asked), "cursor": cursor})))
    return found


def test_pages_have_each_row_with_an_outcome_once_the_newest_first(
    learning: Learning, store: LogStore, outcomes: Outcomes
) -> None:
    frame = logged(300)
    keep(store, frame)
    keep(store, frame[:10])
    send(outcomes, by_row(frame[50:]))
    found = pages(learning, 60)
    assert [len(page["rows"]) for page in found] == [60, 60, 60, 60, 10]
    assert all(page["columns"] == ["age", "town"] for page in found)
    rows = pd.DataFrame([row for page in found for row in page["rows"]], columns=["age", "town", "id", "outcome"])
    newest = frame[50:].sort_values("time", ascending=False)[list(rows)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, newest, check_dtype=False)


def test_outcomes_mean_labels_and_others_are_counted(learning: Learning, store: LogStore, outcomes: Outcomes) -> None:
    frame = logged(4)
    keep(store, frame)
    sent = [{**one, "outcome": text} for one, text in zip(by_row(frame), ["Yes", "0", "perhaps", 1], strict=True)]
    send(outcomes, sent)
    (page,) = pages(learning, 60)
    assert sorted(row[-1] for row in page["rows"]) == [0, 1, 1]
    assert page["unread"] == {"'perhaps'": 1}


def test_rows_of_other_owners_and_of_other_inputs_are_left_out(
    learning: Learning, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    write_version(models, "loan", Sum(), (Field("age", Kind.NUMBER),), version=2)
    write_version(models, "loan", Sum(), INPUTS, version=3)
    mine, others, alike = logged(10), logged(30)[10:], logged(50)[30:]
    for frame, version, owner in ((mine, 1, "risk"), (others, 1, "sales"), (alike, 3, "risk"), (alike, 2, "risk")):
        keep(store, frame, version, owner)
        send(outcomes, by_row(frame))
    assert [len(page["rows"]) for page in pages(learning, 60, "risk")] == [30]
    assert [len(page["rows"]) for page in pages(learning, 60)] == [50]
