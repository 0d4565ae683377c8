"""`python -m bench.transports`: asks one Modelgate over gRPC and over HTTP (V2, with tensors as bytes and as JSON), in
alternating bursts. Needs gRPC (requirements/grpc.txt).

Each transport has one process of the gateway. All clients are threads of one Python process, which send finished bytes:
rows a second say as much of Python's clients as of the servers. The processor time of the servers does not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import grpc
import numpy as np

from bench import models
from bench.console import say
from bench.measures import Measure, Measures, spread
from bench.processes import WORK, free_port, use_two_cores
from bench.servers import MODELGATE, Running, modelgate, running
from gateway.grpc_server import inference_messages
from gateway.grpc_server import inference_pb2 as pb
from gateway.grpc_server.service import NAME
from gateway.protocols.open_inference import BINARY, HEADER_LENGTH

MODEL = "tiny"
GRPC, BYTES, JSON = "gRPC", "HTTP, bytes", "HTTP, JSON"
GATEWAYS: Mapping[str, str] = {GRPC: "gateway.grpc_server", BYTES: "gunicorn.conf", JSON: "gunicorn.conf"}
"""Each transport, and what the command line of its gateway process has."""
OTHERS = ("redis.sock", "-m worker")
RATE, OF_GATEWAY, OF_ALL = "rows/s", "µs of the gateway", "µs of gateway, Redis and worker"
"""What is measured. The processor time is that of a request."""

Ask = Callable[[], bytes]


@dataclass(frozen=True)
class Load:
    """Clients that send requests with so many rows for some seconds."""

    clients: int
    rows: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.clients} × {self.rows:,}"

    def values(self) -> np.ndarray:
        return np.resize(np.array(models.samples(MODEL, 32)), (self.rows, 4))

    def put_on(self, transport: str, port: int) -> dict[str, float]:
        """Return the number of good and bad answers, and the seconds that they took."""
        connect = {GRPC: _grpc_client, BYTES: _bytes_client, JSON: _json_client}[transport]
        asks = [connect(self.values(), port) for _ in range(self.clients)]
        expected, counts, began = asks[0](), Counter[bool](), time.monotonic()

        def keep_asking(ask: Ask) -> None:
            while time.monotonic() < began + self.seconds:
                counts[ask() == expected] += 1

        threads = [threading.Thread(target=keep_asking, args=(ask,)) for ask in asks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"good": counts[True], "bad": counts[False], "seconds": time.monotonic() - began}


def _message(values: np.ndarray) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[values.tobytes()])
    message.inputs.add(name="x", datatype="FP64", shape=values.shape)
    return message


def _grpc_client(values: np.ndarray, port: int) -> Ask:
    request = _message(values).SerializeToString()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary(f"/{NAME}/ModelInfer")
    return lambda: call(request, wait_for_ready=True)


def _bytes_client(values: np.ndarray, port: int) -> Ask:
    header, tensors = inference_messages.read(_message(values), values.nbytes)
    return _http_client(b"".join((header, *tensors)), {"Content-Type": BINARY, HEADER_LENGTH: str(len(header))}, port)


def _json_client(values: np.ndarray, port: int) -> Ask:
    tensor = {"name": "x", "datatype": "FP64", "shape": values.shape, "data": values.tolist()}
    body = {"id": "", "inputs": [tensor]}  # without an id each answer has one of its own, and they are compared
    return _http_client(json.dumps(body).encode(), {"Content-Type": "application/json"}, port)


def _http_client(body: bytes, headers: Mapping[str, str], port: int) -> Ask:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask() -> bytes:
        connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
        return connection.getresponse().read()

    return ask


def main() -> int:
    options = _options()
    if options.burst:
        transport, port, clients, rows = options.burst
        load = Load(int(clients), int(rows), options.seconds)
        sys.stdout.write(json.dumps(load.put_on(transport, int(port))))
        return 0
    use_two_cores()
    models.build(WORK / "models", say)
    measures = Measures()
    loads = [Load(clients, rows, options.seconds) for clients in (1, 64) for rows in (1, 1000)]
    for number in range(options.rounds):
        port = free_port()
        server = replace(MODELGATE, commands=modelgate(GRPC_PORT=str(port), GATEWAY_PROCESSES="1"))
        with running(server, WORK / "models" / models.SPEED, [MODEL]) as run:
            run.wait_until_ready()
            for load in loads:
                _measure(run, port, load, number, options.bursts, measures)
        say(f"round {number + 1} of {options.rounds}")
    say(table(loads, measures))
    return 1 if any(measure.bad for measure in measures.all) else 0


def _measure(run: Running, grpc_port: int, load: Load, number: int, bursts: int, into: Measures) -> None:
    """Put the load on each transport in turn. A first burst does not count."""
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in GATEWAYS}
    bad = Counter[str]()
    for turn in range(-1, bursts):
        for name in list(GATEWAYS)[:: 1 if turn % 2 else -1]:
            before, others_before = run.cpu_seconds(GATEWAYS[name]), run.cpu_seconds(*OTHERS)
            burst = [name, str(grpc_port if name == GRPC else run.deployment.port), str(load.clients), str(load.rows)]
            command = [sys.executable, "-m", "bench.transports", "--seconds", str(load.seconds), "--burst", *burst]
            seen = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603
            gateway, others = run.cpu_seconds(GATEWAYS[name]) - before, run.cpu_seconds(*OTHERS) - others_before
            bad[name] += seen["bad"]
            if turn >= 0:
                good = max(1, seen["good"])
                costs = (gateway / good * 1e6, (gateway + others) / good * 1e6)
                measured[name].append((good * load.rows / seen["seconds"], *costs))
    for name, values in measured.items():
        for what, column in zip((RATE, OF_GATEWAY, OF_ALL), zip(*values, strict=True), strict=True):
            into.add(Measure(f"{load.name} {what}", name, number, statistics.median(column), bad[name]))


def table(loads: list[Load], measures: Measures) -> str:
    """Return a line for each load and what was measured: medians of the rounds, with their least and most."""
    lines = [f"| clients × rows | | {' | '.join(GATEWAYS)} |", "| --- | --- |" + " ---: |" * len(GATEWAYS)]
    for load in loads:
        for what in (RATE, OF_GATEWAY, OF_ALL):
            values = [spread(measures.values(f"{load.name} {what}")(name), 0) for name in GATEWAYS]
            lines.append(f"| {load.name} | {what} | {' | '.join(values)} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.transports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bursts", type=int, default=5, help="of each transport in a round; default: 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a burst takes; default: 1")
    parser.add_argument("--burst", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
