"""The observer reads what the gateways have counted."""

from __future__ import annotations

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from broker.link.scripts import Scripts
from broker.metrics import table
from broker.metrics.counts import Counts
from broker.metrics.reading import MetricsReader
from broker.sides.observer import RequestCounts

FIELDS = ["Area", "", "a|b", "|", "a|", "größe", 'x",model="y', "two\nlines", "%7C"]


def count(redis: Redis, *fields: str, owner: str = "risk") -> None:
    counts = Counts()
    for outcome, requests in (("answered", 40), ("refused", 2)):
        counts.add(table.REQUESTS_BY_VERSION, ("loan", "3", outcome), requests)
    for field in fields:
        counts.add(table.REFUSED_FIELDS, ("loan", field, owner), 2)
    Scripts(redis).send(counts.steps())


def test_requests_are_read_by_field_and_owner_and_all_together(redis: Redis) -> None:
    count(redis, "Area")
    count(redis, "Area", "Age", owner="")
    count(redis, "Area", owner="")
    refused = {("Area", "risk"): 2, ("Area", ""): 4, ("Age", ""): 2}
    assert RequestCounts(redis).read("loan") == (refused, 126)
    assert RequestCounts(redis).read("churn") == ({}, 0)


@pytest.mark.parametrize("field", FIELDS)
def test_any_name_of_a_field_is_read_as_it_was_counted(redis: Redis, field: str) -> None:
    count(redis, field)
    assert RequestCounts(redis).read("loan") == ({(field, "risk"): 2}, 42)
    assert MetricsReader(redis).read(["loan"]).values[table.REFUSED_FIELDS] == {("loan", field, "risk"): 2}


def test_what_no_gateway_has_counted_is_left_out(redis: Redis) -> None:
    count(redis)
    fields = ("refused_fields_total", "refused_fields_total|Area", "model_requests_total", "nonsense|Area|risk")
    redis.hset("mg:counts:model:loan", mapping=dict.fromkeys(fields, 7))
    for number, text in enumerate(("x", "--1", "1.5", "1" * 30)):
        redis.hset("mg:counts:model:loan", f"refused_fields_total|Area|{number}", text)
    redis.hset("mg:counts:model:loan", b"\xff_total|\xff|risk", 7)
    assert RequestCounts(redis).read("loan") == ({}, 42)
    assert not MetricsReader(redis).read(["loan"]).values[table.REFUSED_FIELDS]


def test_a_hash_that_is_something_else_cannot_be_read(redis: Redis) -> None:
    redis.set("mg:counts:model:loan", "x")
    with pytest.raises(ResponseError):
        RequestCounts(redis).read("loan")
