"""Scheduled predictions from the command: set, shown, deleted, and beside the schedules of trainings."""

from __future__ import annotations

from tests.client.command.conftest import Modelgate

OBJECTS, FOLDER = "s3://lake/{date}/*.parquet", "s3://lake/scored/{date}/"


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
