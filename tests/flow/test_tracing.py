"""Traces for OpenTelemetry: one request through gateway, queue and scorer, as a collector receives it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.flow import estimators
from tests.stacks.gateways import Gateway
from tests.stacks.packages import installed
from tests.stacks.ports import free_port
from tests.stacks.workers import worker_cluster
from tests.support import PROJECT, numbers, redis_server, until, write_version

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with OpenTelemetry, which no environment of ours has."""
    return installed("opentelemetry.txt", tmp_path_factory.mktemp("packages"))


@contextmanager
def collector(received: list[bytes]) -> Iterator[str]:
    """Receive OTLP over HTTP; yields the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def spans_in(received: list[bytes]) -> Mapping[str, Mapping[str, Any]]:
    """The spans by name, with those parts that the tests compare."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = {}
    for body in received:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                spans[span.name] = {
                    "service": service,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "failed": span.status.code == 2,
                    "attributes": {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
                }
    return spans


@pytest.mark.slow
def test_a_request_is_one_trace_through_gateway_queue_and_scorer(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    models = tmp_path / "models"
    write_version(models, "faulty", estimators.Faulty(), numbers("a"), by_value=True)
    received: list[bytes] = []
    with (
        collector(received) as endpoint,
        redis_server(tmp_path) as url,
        worker_cluster(url, models, tmp_path) as cluster,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        cluster.start(log_format="json").ready()
        gateway = Gateway(url, models, tmp_path / "gateway.log", {"LOG_FORMAT": "json"}).start()
        try:
            answer = requests.post(
                f"{gateway.address}/v1/models/faulty/predict",
                json={"a": estimators.RAISES},
                headers={"Prefer": "wait=20", "traceparent": f"00-{TRACE}-{SPAN}-01"},
                timeout=60,
            )
            assert answer.json()["status"] == "failed"
            until(lambda: len(spans_in(received)) == 3, "three spans")
        finally:
            gateway.stop()
    spans = spans_in(received)
    request, queue, predict = spans["POST /v1/models/<reference>/predict"], spans["queue"], spans["predict"]
    assert {span["trace"] for span in spans.values()} == {TRACE}
    assert request["parent"] == SPAN
    assert queue["parent"] == predict["parent"] == request["id"]
    assert [request["service"], queue["service"], predict["service"]] == [
        "modelgate-gateway",
        *["modelgate-worker"] * 2,
    ]
    assert request["start"] <= queue["start"] <= queue["end"] == predict["start"] <= predict["end"] <= request["end"]
    assert (request["failed"], predict["failed"]) == (False, True)
    job_id = answer.json()["id"]
    assert {span["attributes"]["modelgate.job_id"] for span in spans.values()} == {job_id}
    assert predict["attributes"]["modelgate.batch.rows"] == 1
    assert answer.headers["X-Request-ID"] == TRACE  # the client has sent no request id
    assert f'"trace_id": "{TRACE}"' in gateway.log and f'"trace_id": "{TRACE}"' in cluster.workers[0].log


@pytest.mark.parametrize("service", ["gateway", "worker"])
def test_traces_without_opentelemetry_end_the_start_with_one_sentence(service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", service],
        cwd=PROJECT,
        env={
            **os.environ,
            "PORT": str(free_port()),
            "REDIS_URL": "redis://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "OpenTelemetry is not installed; install requirements/opentelemetry.txt, or unset it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_without_traces_nothing_of_opentelemetry_is_imported() -> None:
    # redis-py imports its interface wherever that is installed.
    program = "import sys, rq; own = {*sys.modules}; import gateway.app, worker.scorer; " + (
        "sys.exit(any('opentelemetry' in name for name in {*sys.modules} - own))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, timeout=60).returncode == 0
