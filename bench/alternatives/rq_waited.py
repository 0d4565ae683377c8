"""Flask, stock RQ and its `SimpleWorker` with the models in memory; a request waits for its result.

`python -m bench.alternatives.rq_waited` is the worker.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, jsonify, request
from redis import Redis
from rq import Queue, SimpleWorker
from rq.results import Result

from bench.alternatives import inline

QUEUE = "bench"
SCORE = "bench.alternatives.rq_waited.score"

app = Flask(__name__)
queue = Queue(QUEUE, connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://")))
models: dict[str, Any] = {}


def score(name: str, body: Any) -> dict[str, Any]:
    if name not in models:
        models[name] = inline.load(name)
    return inline.predict(models[name], name, body)


@app.post("/predict/<name>")
def predict(name: str) -> Response | tuple[Response, int]:
    job = queue.enqueue(SCORE, name, request.get_json(), result_ttl=60, failure_ttl=60)
    # Blocks in Redis until there is a result: no polling, no sleep.
    result = job.latest_result(timeout=30)
    if result is None or result.type is not Result.Type.SUCCESSFUL:
        return jsonify(error="no result"), 500
    return jsonify(result.return_value)


if __name__ == "__main__":
    # Imported under its own name: the worker looks `score` up there, and the models belong beside it.
    from bench.alternatives import rq_waited

    SimpleWorker([rq_waited.queue], connection=rq_waited.queue.connection).work(logging_level="WARNING")
