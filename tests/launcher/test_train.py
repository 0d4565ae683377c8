"""What `make train` shows, and where it trains."""

from __future__ import annotations

import io
import signal
import subprocess
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from launcher.arguments import features, gate, kinds
from launcher.http_client import Modelgate
from launcher.train import ProgressBar, line, outcome
from tests.support import PROJECT, outside_of_make


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WAITING = {"phase": "waiting", "fraction": 0.0, "done": 0, "total": 0}
PROGRESS = {
    "phase": "comparing",
    "fraction": 0.5,
    "done": 3,
    "total": 6,
    "unit": "candidates",
    "best": 0.8714,
    "seconds_left": 12.4,
}


def test_a_line_shows_phase_progress_score_and_remaining_time() -> None:
    assert line(PROGRESS, 100) == "[##########----------]  50% comparing 3/6, best score 0.871, 12 s left"
    loss = {**PROGRESS, "metric": "neg_log_loss", "best": -0.25}
    assert line(loss, 100) == "[##########----------]  50% comparing 3/6, best log loss 0.250, 12 s left"
    assert line({**WAITING, "total": 2}, 100) == "waiting for 2 other trainings"
    assert line(WAITING, 100) == "waiting for the trainer"
    assert line({"phase": "fitting", "fraction": 7}, 100) == "[####################] 100% fitting"
    assert line({}, 100) == "[--------------------]   0% "
    assert len(line(PROGRESS, 30)) == 30


def test_a_terminal_shows_one_line_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    bar = ProgressBar(out)
    for fraction in (0.1, 0.9):
        bar.show({"phase": "fitting", "fraction": fraction})
    bar.close()
    assert out.getvalue().count("\r") == 2 and out.getvalue().count("\n") == 1


def test_a_file_gets_one_line_per_phase() -> None:
    out = io.StringIO()
    bar = ProgressBar(out)
    for phase in ("reading", "fitting", "fitting"):
        bar.show({"phase": phase, "fraction": 0.1})
    bar.close()
    assert out.getvalue() == "reading\nfitting\n"


OUTPUT = {
    "model": "churn",
    "version": 5,
    "metrics": {"accuracy": 0.9, "average_precision": 0.61, "f1": 0.5, "roc_auc": 0.8},
    "promoted": True,
    "reason": None,
}


def test_the_outcome_shows_remarks_verdict_report_and_the_headline_metric_first() -> None:
    more = {"headline": "average_precision", "verdict": "Better than version 4.", "remarks": ["id is left out"]}
    assert outcome({**OUTPUT, **more}, "http://here") == [
        "modelgate: note: id is left out",
        "modelgate: Better than version 4.",
        "modelgate: report: http://here/v1/models/churn/versions/5/report",
        "modelgate: churn version 5 is current (average precision 0.610, accuracy 0.900, f1 0.500)",
    ]


def test_a_version_that_is_not_promoted_is_shown_with_the_reason_and_the_command_to_promote_it() -> None:
    refused = {**OUTPUT, "promoted": False, "reason": "worse than 4; to promote it anyway: PUT /v1/…"}
    assert outcome(refused, "http://here")[1:] == [
        "modelgate: churn version 5 is published but not promoted: worse than 4"
        " (accuracy 0.900, average precision 0.610, f1 0.500)",
        "modelgate: to promote it anyway: curl -X PUT http://here/v1/models/churn/aliases/current"
        """ -H 'Content-Type: application/json' -d '{"version": 5}'""",
    ]


def test_a_file_is_uploaded_under_its_own_name(tmp_path: Path) -> None:
    received: list[str | None] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
            received.extend(part.get_filename() for part in form.walk() if part.get_filename())
            self.send_response(202)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            for name in ("churn 2026.csv", 'a"\r\nb.csv'):
                (tmp_path / name).write_text("a,b\n1,2\n")
                Modelgate("127.0.0.1", server.server_port).train("churn", tmp_path / name, {"target": "b"})
        finally:
            server.shutdown()
            thread.join()
    assert received == ["churn 2026.csv", "a___b.csv"]


def test_columns_kinds_and_gates_are_parsed() -> None:
    assert features("age, income") == ["age", "income"] == features('["age", "income"]')
    assert (
        kinds("zip=string, a=b=datetime")
        == {"zip": "string", "a=b": "datetime"}
        == kinds('{"zip": "string", "a=b": "datetime"}')
    )
    assert gate("metric=accuracy,floor=0.7") == {"metric": "accuracy", "floor": 0.7}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["NAME=my churn"],
            "'my churn' cannot be the name of a model: use up to 64 of a-z, 0-9, _ and -; try NAME=my",
        ),
        (["NAME=x", "CSV=it's not.csv"], "CSV=it's not.csv does not exist; name a file, relative to "),
        (["NAME=x", "CSV=."], "CSV=. cannot be read (Is a directory); name a readable file"),
        (["NAME=x", "KINDS=zip=text"], "KINDS gives 'zip' the kind 'text'; use one of number, integer,"),
        (
            ["NAME=x", "KINDS=zip"],
            "KINDS='zip' is not a list of NAME=VALUE; write it as in KINDS=zip=string,day=datetime",
        ),
        (["NAME=x", "FEATURES=[1]"], "FEATURES='[1]' must be names of columns"),
        (["NAME=x", "GATE=floor=high"], "GATE has floor='high', which is not a number"),
        (["NAME=x", "GATE={"], "GATE='{' is not JSON"),
        ([], "modelgate: name a model: make train NAME="),
    ],
)
def test_a_refusal_of_make_is_one_sentence_and_a_failure(arguments: list[str], said: str) -> None:
    ended = made("train", *arguments)
    assert said in ended.stderr and ended.stderr.count("\n") == 1
    assert (ended.stdout, ended.returncode) == ("", -signal.SIGPIPE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "modelgate: name a file or a version: make sign FILE=loan.pkl"),
        (["MODEL=loan"], "make sign MODEL=loan VERSION=4"),
        (["FILE=no.pkl"], "SIGNING_KEY is not set"),
        (["FILE=it's $(x).pkl", "KEY=it's none.pem"], "it's none.pem"),
    ],
)
def test_a_refusal_to_sign_is_one_sentence(arguments: list[str], said: str) -> None:
    ended = made("sign", *arguments, SIGNING_KEY="")
    assert said in ended.stderr + ended.stdout and (ended.stderr + ended.stdout).count("\n") == 1
    assert ended.returncode == -signal.SIGPIPE


def test_a_refusal_to_start_is_one_sentence() -> None:
    ended = made("up", PORT="0")
    assert ended.stderr == "modelgate: PORT=0 is too small; the least is 1\n"
    assert ended.returncode == -signal.SIGPIPE


def test_a_missing_model_file_is_refused_with_its_name() -> None:
    assert made("import", "FILE=no.pkl").stderr.startswith(
        "modelgate: FILE=no.pkl does not exist; name a file, relative to "
    )


def made(verb: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--old-file", ".venv/up.stamp", verb, *arguments],
        cwd=PROJECT,
        env={**outside_of_make(), "PORT": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_train_trains_here_if_no_modelgate_runs(tmp_path: Path) -> None:
    ended = made("train", "NAME=no-such-recipe", MODELS_DIR=str(tmp_path))
    assert "python -m trainer: error: there is no recipe 'no-such-recipe'" in ended.stderr
    rows = "\n".join(f"{n},{n % 7:05},{n % 2}" for n in range(60))
    (tmp_path / "my rows.csv").write_text(f"Key,zip,y\n{rows}\n")
    more = ["TARGET=y", "ID=key", "FEATURES=zip", "ESTIMATOR=linear", "GATE=floor=2", "KINDS=zap=string"]
    ended = made("train", "NAME=own", f"CSV={tmp_path / 'my rows.csv'}", *more, MODELS_DIR=str(tmp_path / "models"))
    assert "trainer: own: kinds names 'zap', which is not a column of the data; did you mean 'zip'?" in ended.stdout
