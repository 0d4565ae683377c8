"""The gateway's application: built from its parts, set up, then served."""

from __future__ import annotations

from typing import Any

from flask import Flask

from broker.connection import connect
from broker.jobs import Jobs
from contract.repository import Repository
from contract.settings import Settings
from contract.training import Order
from gateway import problems
from gateway.access import refuse_foreign
from gateway.group_commit import GroupCommit
from gateway.listener import Listener
from gateway.problems import Problem
from gateway.routes import health, jobs, models, predictions, versions
from gateway.routes.predictions import Predictions
from gateway.shortcut import Shortcut


def no_trainer(order: Order) -> dict[str, Any]:
    raise Problem(503, "no_trainer", f"no trainer answers, so {order.model!r} stays as it is")


def create_app(settings: Settings, order: versions.Execute = no_trainer) -> Flask:
    """The application of one gateway process. Needs neither Redis nor a model to start. `order` reaches the trainer."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_mb * 1024 * 1024
    app.url_map.strict_slashes = False
    connection = connect(settings.redis_url)
    limits = {
        "max_queue_rows": settings.max_queue_rows,
        "timeout": settings.predict_timeout,
        "result_ttl": settings.result_ttl,
    }
    broker = Jobs(connection, **limits)
    # A process has one commit in flight.
    committing = Jobs(connect(settings.redis_url, own=True), **limits)
    repository = Repository(settings.models_dir)
    listener = Listener(connection, broker)
    commit = GroupCommit(committing.submit, settings.submit_timeout)
    guard = refuse_foreign(settings.allowed_hosts)
    app.extensions["listener"] = listener

    predicting = Predictions(broker, commit, repository, listener, settings.max_queue_rows, settings.max_wait, guard)
    answer = problems.register(app, settings.max_body_mb)
    app.wsgi_app = Shortcut(app.wsgi_app, predicting.post, answer, settings.max_body_mb * 1024 * 1024)  # type: ignore[method-assign]
    app.register_blueprint(health.blueprint(broker, repository))
    app.register_blueprint(models.blueprint(repository))
    app.register_blueprint(versions.blueprint(repository, guard, order))
    app.register_blueprint(jobs.blueprint(broker, listener, settings.max_wait, guard))
    app.register_blueprint(predictions.blueprint(predicting))
    return app
