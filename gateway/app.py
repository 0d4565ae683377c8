"""The gateway's application: built from its parts, set up, then served."""

from __future__ import annotations

import functools

from flask import Flask

from broker.connection import connect
from broker.gateway.jobs import Jobs
from broker.gateway.trainer_client import TrainerClient
from broker.schedules import Schedules
from broker.signatures import Signer
from contract.repository import Repository
from contract.settings import MB, Settings
from gateway import problems
from gateway.door.fast_path import FastPath
from gateway.door.middleware import Door
from gateway.routes import health, jobs, models, predictions, reports, trainings, uploads, versions
from gateway.routes.predictions import Predictions
from gateway.serving.group_commit import GroupCommit
from gateway.serving.listener import Listener
from gateway.serving.spool import Spool

TO_ANSWER = 5.0
"""Seconds that the trainer has for a command beside waiting for workers."""
TO_IMPORT = 300.0
"""The same for a model that was sent, which has to be loaded and tried."""


def create_app(settings: Settings, run_command: versions.RunCommand | None = None) -> Flask:
    """The application of one gateway process. Needs neither Redis nor a model to start.

    `run_command` replaces the trainer, for tests.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_mb * MB
    app.url_map.strict_slashes = False
    connection = connect(settings.redis_url)
    limits = {
        "max_queue_rows": settings.max_queue_rows,
        "timeout": settings.predict_timeout,
        "result_ttl": settings.result_ttl,
    }
    broker = Jobs(connection, **limits)
    # A process has one commit in flight, and repeats it itself, with time for another when a connection is dead.
    patience = min(5, settings.submit_timeout / 2)
    committing = Jobs(connect(settings.redis_url, patience, own=True, resends=0), **limits)
    repository = Repository(settings.models_dir)
    listener = Listener(connection, broker)
    commit = GroupCommit(committing.submit, settings.submit_timeout)
    app.extensions["listener"] = listener

    predicting = Predictions(broker, commit, repository, listener, settings.max_queue_rows, settings.max_wait)
    answer = problems.register(app, settings.max_body_mb)
    fast_path = FastPath(app.wsgi_app, predicting.post, answer, settings.max_body_mb * MB)
    app.wsgi_app = Door(fast_path, settings.allowed_hosts)  # type: ignore[method-assign]
    app.register_blueprint(health.blueprint(broker, repository))
    app.register_blueprint(models.blueprint(repository))
    ttls = {"timeout": settings.train_timeout, "result_ttl": settings.result_ttl}
    signer = Signer.from_settings(settings)
    training, schedules = TrainerClient(connection, signer, **ttls), Schedules(connection, signer, **ttls)
    most_fields = settings.max_body_mb * MB
    spool = Spool(settings.spool_dir, settings.spool_mb, settings.max_upload_mb, most_fields)
    ask_trainer = functools.partial(training.run_command, wait=settings.warmup_timeout + TO_ANSWER)
    ask_importer = functools.partial(training.run_command, wait=settings.warmup_timeout + TO_IMPORT)
    app.register_blueprint(versions.blueprint(repository, run_command or ask_trainer))
    app.register_blueprint(uploads.blueprint(spool, run_command or ask_importer, settings.allow_upload))
    app.register_blueprint(reports.blueprint(repository))
    app.register_blueprint(jobs.blueprint(broker, listener, settings.max_wait))
    app.register_blueprint(trainings.blueprint(training, schedules, broker, repository, spool))
    app.register_blueprint(predictions.blueprint(predicting))
    return app
