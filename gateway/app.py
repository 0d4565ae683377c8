"""The gateway's application: built from its parts, set up, then served."""

from __future__ import annotations

from flask import Flask

from broker.connection import connect
from broker.jobs import Jobs
from broker.schedules import Schedules
from broker.training import Trainings
from contract.repository import Repository
from contract.settings import Settings
from gateway import problems
from gateway.access import refuse_foreign
from gateway.group_commit import GroupCommit
from gateway.listener import Listener
from gateway.routes import health, jobs, models, predictions, trainings
from gateway.spool import Spool


def create_app(settings: Settings) -> Flask:
    """The application of one gateway process. Needs neither Redis nor a model to start."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_mb * 1024 * 1024
    app.url_map.strict_slashes = False
    connection = connect(settings.redis_url)
    broker = Jobs(
        connection,
        max_queue_rows=settings.max_queue_rows,
        timeout=settings.predict_timeout,
        result_ttl=settings.result_ttl,
    )
    repository = Repository(settings.models_dir)
    listener = Listener(connection, broker)
    commit = GroupCommit(broker.submit, settings.submit_timeout)
    guard = refuse_foreign(settings.allowed_hosts)
    app.extensions["listener"] = listener

    problems.register(app, settings.max_body_mb)
    app.register_blueprint(health.blueprint(broker, repository))
    app.register_blueprint(models.blueprint(repository))
    app.register_blueprint(jobs.blueprint(broker, listener, settings.max_wait, guard))
    ttls = {"timeout": settings.train_timeout, "result_ttl": settings.result_ttl}
    training, schedules = Trainings(connection, **ttls), Schedules(connection, **ttls)
    spool = Spool(settings.spool_dir, settings.spool_mb, settings.max_body_mb * 1024 * 1024)
    app.register_blueprint(trainings.blueprint(training, schedules, broker, repository, spool, guard))
    most_rows, most_wait = settings.max_queue_rows, settings.max_wait
    app.register_blueprint(predictions.blueprint(broker, commit, repository, listener, most_rows, most_wait, guard))
    return app
