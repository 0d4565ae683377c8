"""Trainings from the command: their outcome word for word, promotion, schedules, Ctrl-C."""

from __future__ import annotations

import io
import math
import random
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import joblib
import pytest
from modelgate.command.trainings import outcome
from sklearn.linear_model import LogisticRegression

from tests.client.command.conftest import Ended, Modelgate
from tests.client.command.conftest import process as in_a_process
from tests.stacks.gateways import Gateway
from tests.stacks.redis_process import RedisProcess
from tests.stacks.trainer_process import trainer_process
from tests.support import PROJECT, until

CHURN = PROJECT / "docs/tutorial/churn.csv"
OUTPUT = {
    "model": "churn",
    "version": 4,
    "metrics": {"average_precision": 0.61, "log_loss": 0.5},
    "promoted": False,
    "reason": "it is significantly worse than version 3; to promote it anyway: PUT /v1/models/churn/aliases/current …",
    "headline": "average_precision",
    "comparison": {
        "version": 3,
        "rows": 1204,
        "metric": "average_precision",
        "now": 0.6123,
        "before": 0.6589,
        "decisive": True,
    },
}
ALL_THE_SAME = "Promote all the same: modelgate promote churn@4 --force"


def test_a_version_that_is_not_promoted_is_shown_beside_the_current_one() -> None:
    said = "churn@4 not promoted: average precision 0.61, current 0.66 on 1,204 rows neither has seen"
    assert list(outcome(OUTPUT)) == [said, ALL_THE_SAME]


def test_figures_that_look_alike_are_shown_with_more_digits() -> None:
    comparison = {**OUTPUT["comparison"], "now": 0.6123, "before": 0.6141}  # type: ignore[dict-item]
    assert "0.612, current 0.614 on" in next(iter(outcome({**OUTPUT, "comparison": comparison})))


@pytest.mark.parametrize("comparison", [None, {**OUTPUT["comparison"], "decisive": False}])  # type: ignore[dict-item]
def test_another_reason_is_shown_as_it_is(comparison: object) -> None:
    first = "churn@4 not promoted: it is significantly worse than version 3"
    assert list(outcome({**OUTPUT, "comparison": comparison})) == [first, ALL_THE_SAME]


def test_a_promoted_version_is_shown_with_its_figures() -> None:
    promoted = {**OUTPUT, "promoted": True, "comparison": None}
    assert list(outcome(promoted)) == [
        "churn@4 promoted: average precision 0.61",
        "See why: modelgate report churn@4 --open",
    ]


def test_a_promoted_version_that_needs_a_look_says_why_in_its_first_line() -> None:
    promoted = {**OUTPUT, "promoted": True, "comparison": None, "level": "bad", "verdict": "Finds none of 20 frauds."}
    first, hint = outcome(promoted)
    assert first == "churn@4 promoted, but look at it first. Finds none of 20 frauds."
    assert hint == "See why: modelgate report churn@4 --open"


def test_rows_in_two_places_are_refused(modelgate: Modelgate) -> None:
    ended = modelgate("train", "churn", CHURN, "--path", "churn.csv")
    assert ended == Ended(2, "", f"modelgate: {CHURN} and --path both name the rows; give one of them\n")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway with a trainer, which takes uploads."""
    folder = tmp_path_factory.mktemp("trainer")
    (folder / "models").mkdir()
    settings = {"SPOOL_DIR": str(folder / "spool"), "STATE_DIR": str(folder), "ALLOW_UPLOAD": "1"}
    with RedisProcess(folder) as server, ExitStack() as stack:
        gateway = Gateway(server.url, folder / "models", folder / "gateway.log", settings)
        stack.callback(gateway.stop)
        gateway.start()
        stack.enter_context(trainer_process(server, folder / "models", settings))
        yield gateway.address


@pytest.fixture
def ask(address: str, modelgate: Modelgate) -> Modelgate:
    return lambda *arguments, **changes: modelgate(*arguments, MODELGATE_URL=address, **changes)


@pytest.mark.slow
def test_a_model_is_trained_refused_promoted_and_rolled_back(ask: Modelgate, tmp_path: Path) -> None:
    options = ("--target", "stays", "--id", "customer", "--estimator", "linear")
    first = ask("train", "churn", CHURN, *options)
    assert first.code == 0 and first.out.startswith("churn@1 promoted: accuracy 0.")
    worse = ask("train", "churn", CHURN.with_name("november.csv"), *options, "--margin", "0")
    verdict, hint = worse.out.splitlines()
    assert worse.code == 5
    assert re.fullmatch(
        r"churn@2 not promoted: accuracy 0\.\d+, current 0\.\d+ on 150 rows neither has seen", verdict
    ), verdict
    assert hint == "Promote all the same: modelgate promote churn@2 --force"
    refused = ask("promote", "churn@2")
    assert refused.code == 1 and refused.err.endswith("modelgate promote churn@2 --force\n")
    assert ask("promote", "churn@2", "--force").out == "churn@2 is current, churn@1 is previous\n"
    assert ask("rollback", "churn").out == "churn@1 is current\n"
    assert ask("promote", "churn@2", "--alias", "canary", "--force").out == "churn@2 is canary\n"
    assert "not promoted: accuracy is 0." in ask("report", "churn@2").out
    assert "METRIC ranks no versions, because each was measured on other rows" in ask("versions", "churn").err
    assert ask("report", "churn", "-o", tmp_path / "r.html").code == 0
    assert ask("report", "churn", "-o", "-").out == (tmp_path / "r.html").read_text()
    assert "<html" in (tmp_path / "r.html").read_text()
    (job, *_) = ask("jobs", "--kind", "training", "--json").json
    assert "linear: log loss" in ask("log", job["id"], "--follow").out
    assert ask("model", "churn@2", "--json").json["aliases"] == {"current": 1, "canary": 2}


@pytest.mark.slow
def test_a_file_is_published_under_its_name(ask: Modelgate, tmp_path: Path) -> None:
    file = tmp_path / "My Model.pkl"
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), file)
    assert ask("publish", file).out == "my_model@1 is published and current\n"
    (tmp_path / "text.pkl").write_text("no pickle")
    refused = ask("publish", tmp_path / "text.pkl", "--name", "other")
    assert refused.code == 1 and refused.err.count("\n") == 1
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"]), file)
    changed = ask("publish", file)
    assert changed.code == 5 and changed.out.startswith("my_model@2 is published, but not current\n")
    assert "--accept-signature promotes such a version" in changed.err
    assert ask("publish", file, "--no-promote").code == 0
    assert ask("publish", file, "--accept-signature").out.startswith("my_model@4 is published and current\n")


@pytest.mark.slow
def test_a_model_is_removed_once_its_name_is_entered_and_restored(
    ask: Modelgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mistake.pkl"
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), file)
    assert ask("publish", file).code == 0
    assert "nobody can confirm this here; add --yes" in ask("remove", "mistake").err
    for entered, code in (("mystake", 2), ("mistake", 0)):
        with monkeypatch.context() as terminal:
            terminal.setattr("sys.stdin", io.StringIO(f"{entered}\n"))
            terminal.setattr("sys.stdin.isatty", lambda: True)
            assert ask("remove", "mistake").code == code
    assert "was removed on" in ask("model", "mistake").err
    assert ask("restore", "mistake").out == "mistake is restored with 1 version\n"
    assert ask("remove", "mistake", "--yes", "--json").json["versions"] == []
    assert ask("restore", "mistake", "--version", "1").code == 0
    assert ask("restore", "mistake").code == 1


@pytest.mark.slow
def test_a_schedule_is_set_shown_and_deleted(ask: Modelgate) -> None:
    made = ask("schedule", "blobs", "0 3 * * 1", "--notes", "weekly", "--json").json
    assert (made["cron"], made["request"]["notes"]) == ("0 3 * * 1", "weekly")
    assert "0 3 * * 1" in ask("schedule").out and "0 3 * * 1" in ask("schedule", "blobs").out
    assert ask("schedule", "blobs", "--notes", "daily").code == 2
    assert ask("schedule", "blobs", "0 4 * * 1", "--delete").code == 2
    assert ask("schedule", "blobs", "--delete").out == "the schedule of blobs is deleted\n"
    assert ask("schedule", "blobs").code == 1


@pytest.mark.slow
def test_ctrl_c_cancels_the_training(address: str, ask: Modelgate) -> None:
    process = in_a_process("train", "late", CHURN, "--target", "stays", MODELGATE_URL=address)
    until(lambda: ask("jobs", "--model", "late", "--status", "running", "--json").json, "it runs")
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    (job,) = ask("jobs", "--model", "late", "--json").json
    assert (process.returncode, said, job["status"]) == (130, "", "canceled")
    assert errors == f"modelgate: the training {job['id']} is canceled\n"


@pytest.mark.slow
def test_a_training_that_finds_no_fraud_says_so_and_a_decision_finds_some(ask: Modelgate, tmp_path: Path) -> None:
    draw = random.Random(0)
    amounts = [draw.gauss(0, 1) for _ in range(4000)]
    frauds = [draw.random() < 0.017 * math.exp(0.9 * amount - 0.4) for amount in amounts]
    rows = "".join(
        f"{amount:.4f},{'fraud' if is_fraud else 'none'}\n" for amount, is_fraud in zip(amounts, frauds, strict=True)
    )
    (tmp_path / "payments.csv").write_text(f"amount,kind\n{rows}")
    trained = ask("train", "payments", str(tmp_path / "payments.csv"), "--target", "kind", "--estimator", "linear")
    assert trained.code == 0, trained.err
    start = r"payments@1 promoted, but look at it first\. Finds none of the \d+ held-out rows where kind is 'fraud'\. "
    assert re.match(start + "Average precision", trained.out), trained.out
    made = ask("decide", "payments", "--label", "fraud", "--threshold", "0.03")
    assert made.code == 0, made.err
    assert made.out.splitlines() == [
        "payments@2 decides for fraud from 0.03 on",
        "Promote it: modelgate promote payments@2",
    ]
    assert re.match(
        r"payments@2: Finds [1-9]\d* of the \d+ held-out rows where .* 0\.03 on; ", ask("report", "payments@2").out
    )
    wrong = ask("decide", "payments", "--label", "frod", "--threshold", "0.03")
    assert wrong.code != 0 and "did you mean 'fraud'?" in wrong.err
    assert ask("promote", "payments@2", "--force").out == "payments@2 is current, payments@1 is previous\n"
    again = ask("train", "payments", str(tmp_path / "payments.csv"), "--target", "kind", "--estimator", "linear")
    assert again.code == 0 and "payments@3 promoted" in again.out, again.err
    assert "note: it decides for 'fraud' from a probability of 0.03 on, as version 2 does" in again.err
