"""The doctor names what is wrong with real installations that are broken, and what to do."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from modelgate.command.doctor import address

from broker.records.job_kinds import TRAINING
from broker.records.lease_groups import TRAINERS
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.sides.trainer import Scheduler
from broker.state.lake_schedules import KEY
from broker.state.schedules import Schedules
from contract.errors import Code, Failure
from contract.work.training import TrainingRequest
from tests.client.certificates import with_own_certificate
from tests.client.command.conftest import ADMIN_KEY, Ended, Modelgate, process
from tests.stacks.gateways import Site
from tests.stacks.ports import free_port
from tests.support import DEADLINE, SIGNER, until


def advice(ended: Ended, text: str) -> str:
    """Return the advice below the line with `text`."""
    lines = ended.out.splitlines()
    (line_number,) = [number for number, line in enumerate(lines) if text in line]
    assert lines[line_number][0] in "✗!", lines[line_number]
    return lines[line_number + 1]


@pytest.mark.slow
def test_nothing_listens(modelgate: Modelgate) -> None:
    ended = modelgate("doctor", "--url", f"http://127.0.0.1:{free_port()}")
    said = advice(ended, "nothing listens at 127.0.0.1:")
    assert ended.code == 1 and "`modelgate up`, `make up`, or `docker compose up`" in said
    assert "✓ a server can start here" in ended.out


def test_a_machine_on_which_no_server_can_start(modelgate: Modelgate) -> None:
    nothing = f"http://127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = advice(modelgate("doctor", "--url", nothing, PORT=str(port)), "no server can start here: cannot listen")
    assert f"such as PORT={port + 1}" in said
    assert advice(modelgate("doctor", "--url", nothing, WORKERS="many"), "WORKERS='many' is not a whole number")


def test_a_host_that_does_not_exist(modelgate: Modelgate) -> None:
    assert "spelling" in advice(modelgate("doctor", "--url", "http://gate.invalid"), "'gate.invalid' is unknown")


def test_another_server(modelgate: Modelgate) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = modelgate("doctor", "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "check host and port" in advice(ended, "no Modelgate answers")


@pytest.mark.slow
def test_keys_that_are_missing_wrong_or_expired(closed: Site, admin: Modelgate) -> None:
    assert "modelgate profile add" in advice(admin("doctor", MODELGATE_API_KEY=""), "the request has no key")
    assert "revoked" in advice(admin("doctor", MODELGATE_API_KEY="mg_" + "x" * 43), "✗")
    made = admin("keys", "create", "short", "--scope", "read", "--expires", "1s", "--json").json
    headers = {"Authorization": f"Bearer {made['secret']}"}
    until(
        lambda: requests.get(f"{closed.gateway.address}/v1/jobs", headers=headers, timeout=60).status_code == 401,
        "expired",
    )
    assert "keys rotate" in advice(admin("doctor", MODELGATE_API_KEY=made["secret"]), "expired")


def test_no_worker_no_trainer_and_a_full_redis(closed: Site, admin: Modelgate) -> None:
    ended = admin("doctor")
    assert "docker compose up -d worker" in advice(ended, "no worker is alive")
    assert "docker compose up -d trainer" in advice(ended, "no trainer runs")
    redis = closed.server.connect()
    redis.config_set("maxmemory", 1)
    try:
        findings = until(
            lambda: (f := admin("doctor", "--json").json) and "Redis is full" in str(f) and f, "it is full"
        )
    finally:
        redis.config_set("maxmemory", 0)
    (full,) = [finding for finding in findings if "REDIS_MAXMEMORY" in finding["advice"]]
    assert full["level"] == "bad"


def test_a_schedule_whose_last_training_failed(closed: Site, admin: Modelgate) -> None:
    redis = closed.server.connect()
    schedules = Schedules(redis, SIGNER, timeout=60, result_ttl=60)
    Leases(redis, group=TRAINERS).register("t-0-x", queues=[TRAINING.queue])
    made = schedules.put("sum", "0 3 * * 1", TrainingRequest("sum", "tabular", path="gone.csv"))
    redis.zadd("rq:scheduled:training", {made.job: 1})
    assert Scheduler(redis, TRAINING.queue).enqueue_due()
    queue = SingleJobs(redis, "t-0-x", TRAINING, SIGNER)
    job = queue.begin([])
    assert job is not None
    schedules.advance()
    assert "the last" not in admin("doctor").out and "LAST RUN" in admin("schedule").out
    queue.finish(job.id, Failure(Code.NO_DATA, "gone.csv does not exist"))
    hint = advice(admin("doctor"), "the last scheduled training of sum failed: gone.csv does not exist")
    assert f"modelgate log {job.id}" in hint
    assert f"sum: gone.csv does not exist (job {job.id})" in (shown := admin("schedule", "sum").out)
    assert "failed 20" in shown
    schedules.put("sum", "0 3 * * 1", TrainingRequest("sum", "tabular", path="gone.csv"))
    entry = json.loads(redis.hget("mg:schedules", "sum"))
    redis.hset("mg:schedules", "sum", json.dumps({**entry, "next_run": "2026-03-01T02:30:00.000000Z"}))
    late = "the last scheduled run of sum failed or is late"
    ended = until(lambda: (ended := admin("doctor")) and late in ended.out and ended, "it is late")
    assert "docs/runbook.md" in advice(ended, late)
    schedules.delete("sum")


def test_a_scheduled_prediction_that_nobody_does(closed: Site, admin: Modelgate) -> None:
    admin("schedule", "predict", "sum", "s3://lake/new/*.csv", "30 2 * * *", "-o", "s3://lake/scored/")
    assert "scheduled prediction" not in admin("doctor").out
    redis = closed.server.connect()
    entry = json.loads(redis.hget(KEY, "sum"))
    redis.hset(KEY, "sum", json.dumps({**entry, "next_run": "2026-03-01T02:30:00.000000Z"}))
    late = "its run is late, and nothing is heard of it: does `modelgate schedule run` run anywhere?"
    assert "modelgate schedule predict sum" in advice(
        admin("doctor"), f"the last scheduled prediction with sum failed: {late}"
    )
    assert f"sum: {late}" in admin("schedule").out
    assert admin("schedule", "predict", "sum", "--delete").code == 0


class HostileModelgate(http.server.BaseHTTPRequestHandler):
    """Answers as a Modelgate behind a proxy that it does not trust, with metrics that are none."""

    def do_GET(self) -> None:
        answers = {"/v2": b'{"name": "modelgate"}', "/health/ready": b'{"status": "starting", "detail": "soon"}'}
        answers["/metrics"] = b'modelgate_trainers{\xff} x\nmodelgate_trainers{a="b"}\nmodelgate_trainers{} 1_0\n'
        self.send_response(200)
        self.send_header("Set-Cookie", "modelgate_session_1=x; Path=/ui; HttpOnly; SameSite=Strict")
        self.end_headers()
        self.wfile.write(answers.get(self.path, b"{}"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_metrics_that_are_none_and_a_cookie_in_clear_text(
    modelgate: Modelgate, with_tls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "handler", HostileModelgate)
    ended = modelgate("doctor", "--url", f"https://localhost:{with_tls}", REQUESTS_CA_BUNDLE=str(tmp_path / "own.pem"))
    assert ended.code == 1 and "it is not ready: soon" in ended.out and "trainer" not in ended.out
    assert "TRUSTED_PROXIES" in advice(ended, "has no Secure")


class Answering:
    """What answers for `with_tls`."""

    handler: type[http.server.BaseHTTPRequestHandler] = http.server.SimpleHTTPRequestHandler


@pytest.fixture
def with_tls(tmp_path: Path) -> Iterator[int]:
    """The port of a server whose certificate is signed by itself."""
    context = with_own_certificate(tmp_path / "own.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: Answering.handler(*arguments)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_certificate_that_is_not_trusted(modelgate: Modelgate, with_tls: int, tmp_path: Path) -> None:
    url = f"https://localhost:{with_tls}"
    assert "REQUESTS_CA_BUNDLE" in advice(modelgate("doctor", "--url", url), "is not accepted")
    trusting = modelgate("doctor", "--url", url, REQUESTS_CA_BUNDLE=str(tmp_path / "own.pem"))
    assert "✓ the certificate is trusted" in trusting.out
    other = modelgate("doctor", "--url", f"https://127.0.0.1:{with_tls}", REQUESTS_CA_BUNDLE=str(tmp_path / "own.pem"))
    assert "use the name that the certificate is for" in advice(other, "is not accepted")


def test_tls_with_a_server_that_has_none(closed: Site, modelgate: Modelgate) -> None:
    ended = modelgate("doctor", "--url", closed.gateway.address.replace("http:", "https:"))
    assert f"use {closed.gateway.address}" in advice(ended, "does not speak TLS")


def test_a_key_that_others_can_read(closed: Site, modelgate: Modelgate, tmp_path: Path) -> None:
    file = tmp_path / "config/modelgate/profiles.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'default = "a"\n[profiles.a]\nurl = "{closed.gateway.address}"\napi_key = "{ADMIN_KEY}"\n')
    file.chmod(0o644)
    assert f"chmod 600 {file}" in advice(modelgate("doctor"), "other users may read")


def test_windows_has_no_modes_of_files_that_others_could_read(
    closed: Site, admin: Modelgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config/modelgate/profiles.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[profiles.a]\nurl = "{closed.gateway.address}"\n')
    file.chmod(0o666)
    monkeypatch.setattr(address, "os", SimpleNamespace(name="nt", environ=os.environ))
    assert "other users" not in admin("doctor").out


def test_marks_that_an_encoding_lacks_are_replaced() -> None:
    command = process("doctor", "--url", f"http://127.0.0.1:{free_port()}", PYTHONIOENCODING="cp1252")
    said, errors = command.communicate(timeout=DEADLINE)
    assert (command.returncode, errors) == (1, "") and "? nothing listens" in said
