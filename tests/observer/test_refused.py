"""Fields for which requests begin to be refused are an alarm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from observer.refused import RefusalWatch, RefusedField

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
AREA, AGE = ("Area", "risk"), ("Age", "risk")


@dataclass
class Model:
    """A model whose counters grow, and its watch, which looks each minute."""

    watch: RefusalWatch = field(default_factory=RefusalWatch)
    now: datetime = START
    requests: int = 5000
    refused: dict[tuple[str, str], int] = field(default_factory=lambda: {AGE: 900})

    def minutes(self, count: int, requests: int = 0, refused: Mapping[tuple[str, str], int] | None = None) -> list[str]:
        """Let minutes pass with so many requests in each, and return the fields that are an alarm after them."""
        alarms: list[RefusedField] = self.look()
        for _ in range(count):
            self.now += timedelta(minutes=1)
            self.requests += requests
            for pair, more in (refused or {}).items():
                self.refused[pair] = self.refused.get(pair, 0) + more
            alarms = self.look()
        return [alarm.field for alarm in alarms]

    def look(self) -> list[RefusedField]:
        return self.watch.look(self.refused, self.requests, self.now)


def test_an_alarm_begins_with_ten_requests_of_an_owner_and_names_the_moment() -> None:
    model = Model()
    assert model.minutes(9, 1, {AREA: 1}) == []
    assert model.minutes(3, 1, {AREA: 1}) == ["Area"]
    (alarm,) = model.look()
    assert alarm == RefusedField("Area", "risk", 12, 1.0, START + timedelta(minutes=10))


@pytest.mark.parametrize(("requests", "alarms"), [(1000, ["Area"]), (1001, [])])
def test_an_alarm_needs_one_percent_of_the_requests(requests: int, alarms: list[str]) -> None:
    assert Model().minutes(1, requests, {AREA: 10}) == alarms


def test_ten_requests_of_two_owners_or_two_fields_are_no_alarm() -> None:
    assert Model().minutes(1, 20, {AREA: 5, ("Area", "sales"): 5, ("", "risk"): 9}) == []


def test_requests_of_more_than_an_hour_do_not_add_up() -> None:
    model = Model()
    for _ in range(5):
        assert model.minutes(1, 10, {AREA: 4}) == []
        assert model.minutes(29, 10) == []


def test_history_alone_is_no_alarm() -> None:
    assert Model().look() == []
    assert Model().minutes(90, 1) == []


@pytest.mark.parametrize(("refused", "alarms"), [(5, ["Area"]), (4, [])])
def test_an_alarm_stays_until_the_hour_has_less_than_half_of_the_requests(refused: int, alarms: list[str]) -> None:
    model = Model()
    assert model.minutes(1, 20, {AREA: 10}) == ["Area"]
    model.minutes(1, 20, {AREA: refused})
    assert model.minutes(58, 0) == ["Area"], "the first ten are within the hour"
    assert model.minutes(1, 0) == alarms
    assert all(alarm.since == START + timedelta(minutes=1) for alarm in model.look())


@pytest.mark.parametrize(("requests", "alarms"), [(2000, ["Area"]), (2001, [])])
def test_an_alarm_stays_until_the_hour_has_less_than_half_of_the_share(requests: int, alarms: list[str]) -> None:
    model = Model()
    model.minutes(1, 10, {AREA: 10})
    assert model.minutes(1, requests - 10) == alarms


def test_an_alarm_that_has_ended_needs_the_whole_minima_again() -> None:
    model = Model()
    model.minutes(1, 10, {AREA: 10})
    assert model.minutes(61) == []
    assert model.minutes(1, 9, {AREA: 9}) == []
    assert model.minutes(1, 1, {AREA: 1}) == ["Area"]
    assert model.look()[0].since == model.now


def test_the_most_refused_field_comes_first() -> None:
    assert Model().minutes(1, 50, {AREA: 10, AGE: 20, ("Zip", "risk"): 10}) == ["Age", "Area", "Zip"]


def test_a_restarted_observer_goes_on() -> None:
    model = Model()
    model.minutes(1, 20, {AREA: 10, AGE: 9})
    model.watch = RefusalWatch.from_json(json.loads(json.dumps(model.watch.to_json())))
    assert model.minutes(1, 1, {AGE: 1}) == ["Age", "Area"]
    assert model.minutes(1, 400) == ["Age", "Area"]
    model.watch = RefusalWatch.from_json(json.loads(json.dumps(model.watch.to_json())))
    assert model.minutes(1, 700) == ["Age", "Area"], "between the minima and half of them"
    assert {alarm.field: (alarm.requests, alarm.since.minute) for alarm in model.look()} == {
        "Age": (10, 2),
        "Area": (10, 1),
    }
    assert model.minutes(60) == []


def test_an_observer_that_was_away_for_longer_than_an_hour_begins_anew() -> None:
    model = Model()
    model.look()
    model.now += timedelta(minutes=61)
    model.refused[AREA] = 500
    assert model.minutes(1) == []
    assert model.minutes(1, 10, {AREA: 10}) == ["Area"]


@pytest.mark.parametrize(
    ("requests", "refused"), [(5000, {AGE: 910}), (5010, {AGE: 905}), (5010, {}), (9000, {AGE: 909, AREA: 400})]
)
def test_counters_that_went_back_begin_anew(requests: int, refused: dict[tuple[str, str], int]) -> None:
    model = Model()
    assert model.minutes(1, 10, {AGE: 10}) == ["Age"]
    model.requests, model.refused = requests, dict(refused)
    assert model.minutes(1, 9, {AGE: 9}) == []
    assert model.minutes(1, 1, {AGE: 1}) == ["Age"]
    assert model.look()[0].requests == 10


def test_a_clock_that_went_back_begins_anew() -> None:
    model = Model()
    model.minutes(2, 10, {AGE: 9})
    model.now -= timedelta(days=1)
    assert model.minutes(1, 9, {AGE: 9}) == []


def test_the_state_of_an_hour_of_many_fields_is_small() -> None:
    model = Model(refused={(f"a long name of a field {number}", "an-owner"): 10**6 + number for number in range(5000)})
    assert model.minutes(120, 5, dict.fromkeys(list(model.refused)[-5:], 1)) == [
        f"a long name of a field {number}" for number in range(4995, 5000)
    ]
    assert len(json.dumps(model.watch.to_json())) < 100_000


def test_a_field_beyond_those_that_are_watched_is_no_alarm_from_history() -> None:
    model = Model(refused={(str(number), "risk"): 1000 + number for number in range(300)})
    model.look()
    model.refused["0", "risk"] += 500  # of which only the end is known to have come now
    assert model.minutes(1, 500) == []
    assert model.minutes(61, 500) == []
    assert model.minutes(1, 500, {("0", "risk"): 400}) == ["0"]


def test_looks_more_often_than_each_minute_keep_no_more() -> None:
    model = Model()
    for _ in range(4000):
        model.now += timedelta(seconds=1)
        model.requests += 1
        model.refused[AREA] = model.refused.get(AREA, 0) + 1
        alarms = model.look()
    assert 3540 <= alarms[0].requests <= 3600
    assert len(model.watch.to_json()["hour"]) <= 61
