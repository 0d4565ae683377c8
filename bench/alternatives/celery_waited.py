"""Flask and Celery with Redis as broker and result backend; a request waits for its result.

`celery -A bench.alternatives.celery_waited.tasks worker` is the worker.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, Response, jsonify, request

from bench.alternatives import inline

REDIS = os.environ["REDIS_URL"].replace("unix://", "redis+socket://")

app = Flask(__name__)
tasks = Celery("bench", broker=REDIS, backend=REDIS)
tasks.conf.update(
    result_expires=60,
    worker_prefetch_multiplier=16,  # tasks are short; the default of 4 leaves the pool idle between fetches
    worker_send_task_events=False,
    broker_pool_limit=32,  # one a thread of the gateway
    broker_connection_retry_on_startup=True,
)
models: dict[str, Any] = {}


@tasks.task(name="score")
def score(name: str, body: Any) -> dict[str, Any]:
    if name not in models:
        models[name] = inline.load(name)
    return inline.predict(models[name], name, body)


@app.post("/predict/<name>")
def predict(name: str) -> Response:
    # `get` subscribes to the result in Redis; it does not poll.
    return jsonify(score.delay(name, request.get_json()).get(timeout=30))
