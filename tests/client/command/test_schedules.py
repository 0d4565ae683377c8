"""Scheduled predictions from the command: set, shown, deleted, and beside the schedules of trainings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.state.schedules import Schedules
from contract.work.training import TrainingRequest
from tests.client.command.conftest import Modelgate
from tests.stacks.gateways import Site
from tests.support import SIGNER

OBJECTS, FOLDER = "s3://lake/{date}/*.parquet", "s3://lake/scored/{date}/"


@pytest.mark.slow
def test_a_prediction_is_scheduled_shown_and_deleted(admin: Modelgate) -> None:
    def ask(*arguments: str) -> tuple[int, str, str]:
        ended = admin("schedule", *arguments)
        return ended.code, " ".join(ended.out.split()), ended.err

    assert ask() == (0, "There are no schedules.", "")
    assert ask("predict") == (0, "No prediction is scheduled.", "")
    code, out, _ = ask("predict", "sum@1", OBJECTS, "30 2 * * *", "-o", FOLDER)
    assert code == 0 and "30 2 * * *" in out and "none" in out
    for arguments in ([], ["predict"], ["predict", "sum"], ["predict", "sum@1"], ["train"]):
        assert ask(*arguments) == (0, out, "")
    assert admin("schedule", "--json").json == [], "those of trainings alone"
    assert ask("predict", "sum@1", "--delete") == (0, "the schedule of sum is deleted", "")
    assert ask("predict", "sum", "--delete")[0] == 1


def test_a_prediction_is_not_scheduled_by_halves(modelgate: Modelgate) -> None:
    for arguments in (["s3://lake/a/*"], ["-o", "s3://lake/b/"], ["s3://lake/a/*", "30 2 * * *"]):
        ended = modelgate("schedule", "predict", "sum", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert "say what to score, when, and where the answers go: modelgate schedule predict sum" in ended.err
    ended = modelgate("schedule", "predict", "sum", OBJECTS, "--delete")
    assert ended.code == 2 and "--delete takes nothing else" in ended.err


def test_a_training_for_an_alarm_says_from_when_on_another_may_begin(closed: Site, admin: Modelgate) -> None:
    schedules = Schedules(closed.server.connect(), SIGNER, timeout=60, result_ttl=60)
    made = schedules.put("sum", "@alarm", TrainingRequest("sum", "tabular"))
    now = datetime.now(UTC).replace(microsecond=0)
    said = "sum: trained for an alarm within a day; no other before"
    assert said not in admin("schedule", "sum").out
    assert schedules.run_on_alarm(made, "sum@1 t", now)
    assert f"{said} {now + timedelta(days=1):%Y-%m-%d %H:%M:%SZ}" in admin("schedule", "sum").out
    schedules.delete("sum")
