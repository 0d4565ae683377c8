"""Modelgate answers what the services of five blog posts answered, but for differences with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.flow.old_services import Compared, compare, kind, started, table
from tests.flow.post_differences import EXPLAINED
from tests.flow.post_services import SERVICES
from tests.flow.test_five_models import real_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, five_models: Path) -> Iterator[Sequence[Compared]]:
    real_rows("boston.csv", 1)
    with started(tmp_path_factory.mktemp("old-services"), five_models) as running:
        yield list(compare(running.address, running.models))


def test_every_difference_has_a_reason(compared: Sequence[Compared]) -> None:
    unexplained = [f"{one.service}: {one}" for one in compared if kind(one) == "different" and one.reason is None]
    assert unexplained == [], table(compared)


def test_every_reason_is_that_of_a_difference(compared: Sequence[Compared]) -> None:
    different = {(one.service, one.asked.what) for one in compared if kind(one) == "different"}
    explained = {(service, what) for service, reasons in EXPLAINED.items() for what in reasons}
    assert explained - different == set()


def test_what_crashes_a_post_never_crashes_modelgate(compared: Sequence[Compared]) -> None:
    assert [str(one) for one in compared if one.ours.status >= 500] == []
    assert {one.service for one in compared if one.crashed} == {*SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_a_good_request_is_answered_in_the_same_way(compared: Sequence[Compared], service: str) -> None:
    mine = [one for one in compared if one.service == service]
    good = "2.0 as feature_1" if service == "blobs" else "good"
    (first,) = [one for one in mine if one.asked.what == good]
    assert first.same and first.post.status == 200
    assert len(mine) > 40
