"""The gateway's application, wired from its parts."""

from __future__ import annotations

import functools

from flask import Flask
from werkzeug.routing import Rule

from broker.connection import connect
from broker.gateway.jobs import Jobs
from broker.gateway.trainer_client import TrainerClient
from broker.schedules import Schedules
from broker.signatures import Signer
from contract.repository import Repository
from contract.settings import Settings
from gateway.door.entrance import Door
from gateway.door.fast_path import FastPath
from gateway.door.guard import Guard
from gateway.problems import response_to
from gateway.routes import health, jobs, models, predictions, reports, trainings, uploads, versions
from gateway.routes.predictions import Predictions
from gateway.rules import BodyLimit, Route
from gateway.serving.commands import RunCommand
from gateway.serving.group_commit import GroupCommit
from gateway.serving.jobs import JobReader
from gateway.serving.listener import Listener
from gateway.serving.predicting import Predictor
from gateway.serving.spool import Spool
from gateway.serving.training import Trainings

TO_ANSWER = 5.0
"""Seconds that the trainer has for a command, besides the wait for workers."""
TO_IMPORT = 300.0
"""The same for an uploaded model, which the trainer loads and tries."""


class Gateway(Flask):
    """Flask whose routes declare their level."""

    url_rule_class: type[Rule] = Route


def create_app(settings: Settings, run_command: RunCommand | None = None) -> Gateway:
    """Return the application of one gateway process. Needs neither Redis nor a model to start.

    `run_command` replaces the trainer, for tests.
    """
    app = Gateway(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    app.register_error_handler(Exception, response_to)
    connection = connect(settings.redis_url)
    limits = {
        "max_queue_rows": settings.max_queue_rows,
        "timeout": settings.predict_timeout,
        "result_ttl": settings.result_ttl,
    }
    broker = Jobs(connection, **limits)
    # A process has one commit in flight and repeats it itself, so a dead connection must leave time for another try.
    patience = min(5, settings.submit_timeout / 2)
    committing = Jobs(connect(settings.redis_url, patience, own=True, resends=0), **limits)
    repository = Repository(settings.models_dir)
    listener = Listener(connection, broker)
    app.extensions["listener"] = listener

    commit = GroupCommit(committing.submit, settings.submit_timeout)
    predictor = Predictor(broker, commit, repository, listener, settings.max_queue_rows)
    reader = JobReader(broker, listener)
    ttls = {"timeout": settings.train_timeout, "result_ttl": settings.result_ttl}
    signer = Signer.from_settings(settings)
    trainer = TrainerClient(connection, signer, **ttls)
    training = Trainings(trainer, Schedules(connection, signer, **ttls), repository)
    spool = Spool(settings.spool_dir, settings.spool_mb, settings.max_upload_mb)
    ask_trainer = functools.partial(trainer.run_command, wait=settings.warmup_timeout + TO_ANSWER)
    ask_importer = functools.partial(trainer.run_command, wait=settings.warmup_timeout + TO_IMPORT)

    rows = BodyLimit.of_rows(settings.max_body_mb)
    predicting = Predictions(predictor, settings.max_wait)
    app.register_blueprint(health.blueprint(broker, repository))
    app.register_blueprint(models.blueprint(repository))
    app.register_blueprint(versions.blueprint(repository, run_command or ask_trainer))
    app.register_blueprint(uploads.blueprint(spool, rows, run_command or ask_importer, settings.allow_upload))
    app.register_blueprint(reports.blueprint(repository))
    app.register_blueprint(jobs.blueprint(reader, settings.max_wait))
    app.register_blueprint(trainings.blueprint(training, reader, spool, rows))
    app.register_blueprint(predictions.blueprint(predicting, rows))

    fast_path = FastPath(_route(app, "predictions.post"), predicting.post, response_to)
    app.wsgi_app = Door(app.wsgi_app, app.url_map, fast_path, Guard(settings.allowed_hosts))  # type: ignore[method-assign]
    return app


def _route(app: Flask, endpoint: str) -> Route:
    return next(rule for rule in app.url_map.iter_rules(endpoint) if isinstance(rule, Route))
