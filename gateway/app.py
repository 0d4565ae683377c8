"""The gateway's application: its routes, and the door in front of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Flask, request
from werkzeug.routing import Rule

from contract.errors import SettingsError
from contract.settings import MB, Settings
from contract.work.api_keys import hide
from gateway.door import audit as door_audit
from gateway.door.body_work import BodyWork
from gateway.door.cors import Cors
from gateway.door.entrance import Door, FastPath, Observer
from gateway.door.guard import Guard
from gateway.door.local_user import is_own_user
from gateway.door.observers import AccessLog, FailedRequests, RequestCounts, RequestSpans
from gateway.door.proxies import TrustedProxies
from gateway.http.codings import encode_response
from gateway.http.forms import FormRequest
from gateway.http.problem_answers import response_to
from gateway.http.rules import BodyLimit, Route
from gateway.http.synchronous import SynchronousPredictions
from gateway.openapi.document import ApiDocument
from gateway.pages import api, assets, audit_page, notification_page, sign_in, system_page
from gateway.pages.compare import ComparePages
from gateway.pages.decision_page import DecisionPages
from gateway.pages.experiments.page import ExperimentPages
from gateway.pages.failure_page import FailurePages
from gateway.pages.health_page import HealthPages
from gateway.pages.job_pages import JobsPages
from gateway.pages.key_page import KeyPages
from gateway.pages.layout import error_page
from gateway.pages.live_parts import LiveParts
from gateway.pages.log_page import LogPages
from gateway.pages.models_page import ModelsPages
from gateway.pages.overview_page import OverviewPages
from gateway.pages.promotion_pages import PromotionPages
from gateway.pages.traffic_page import TrafficPages
from gateway.pages.training_page import TrainingPages
from gateway.pages.trying.page import TryPages
from gateway.pages.trying.reasons import Reasons
from gateway.pages.version_pages import VersionPages
from gateway.parts import TO_IMPORT, Parts
from gateway.protocols import routes_file
from gateway.protocols.mapped import MappedRoute
from gateway.routes import (
    about,
    audit,
    documentation,
    experiments,
    failures,
    file_predictions,
    health,
    jobs,
    keys,
    kserve,
    lake_schedules,
    mapped,
    metrics,
    migrations,
    mlflow,
    models,
    open_inference,
    outcomes,
    prediction_log,
    predictions,
    promotions,
    reports,
    sagemaker,
    system,
    traffic,
    trainings,
    uploads,
    versions,
    webhooks,
)
from gateway.routes.mapped import collisions
from gateway.routes.predictions import Predictions
from gateway.serving.model_versions import RunCommand, refuse_model
from runtime.tracing import start_tracing

_FIELDS = BodyLimit.of_request(1024)
"""What the fields and the heads beside a file may take: heads of more take seconds to read."""


class Gateway(Flask):
    """Flask whose routes declare their level."""

    url_rule_class: type[Rule] = Route
    request_class = FormRequest


def create_app(settings: Settings, run_command: RunCommand | None = None) -> Gateway:
    """Return the application of one gateway process. Needs neither Redis nor a model to start. Raises `SettingsError`
    for a ROUTES_FILE that cannot be used.

    `run_command` replaces the trainer, for tests.
    """
    if settings.admin_key:
        hide(settings.admin_key)
    app = Gateway(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    # A redirect would name http, even behind a proxy with TLS, and clients would send their keys there in clear text.
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, response_to)
    app.after_request(lambda response: encode_response(response, request.headers.get("Accept-Encoding", "")))
    parts = Parts(settings, run_command)
    predicting = Predictions(parts.predictor, settings.max_wait, parts.receipts, parts.webhook_targets)
    for blueprint in [*_own_routes(parts, predicting), *_other_protocols(parts), *_pages(parts)]:
        app.register_blueprint(blueprint)
    app.register_blueprint(documentation.blueprint(ApiDocument(app.url_map.iter_rules, parts.repository)))
    if settings.routes_file:
        _add_mapped(app, settings.routes_file, parts)
    access_log = AccessLog(settings.access_log_rate)
    door = _door(app, parts, predicting, access_log)
    app.wsgi_app = door  # type: ignore[method-assign]
    app.extensions.update(
        access_log=access_log,
        close=parts.close,
        door=door,
        listener=parts.listener,
        live_parts=LiveParts(),
        health_board=parts.cards.health,
        outbox=parts.outbox,
        read_ahead=parts.repository.read_ahead,
        readiness=parts.readiness,
        repetitions=parts.repetitions,
        stop_delay=settings.stop_delay,
        stopping=parts.stopping,
        traffic_recorder=parts.traffic_recorder,
        watch_keys=functools.partial(parts.closed.watch, parts.attempts.forget),
        watcher=parts.watcher,
    )
    return app


def _own_routes(parts: Parts, predicting: Predictions) -> list[Blueprint]:
    settings, rows, targets = parts.settings, BodyLimit.of_rows(parts.settings.max_body_mb), parts.webhook_targets
    importing = parts.run_command(TO_IMPORT)
    return [
        health.blueprint(parts.readiness, parts.stopping),
        metrics.blueprint(parts.metrics),
        system.blueprint(parts.system),
        traffic.blueprint(parts.traffic, parts.events),
        failures.blueprint(parts.failures),
        models.blueprint(parts.repository),
        about.blueprint(parts.descriptions),
        versions.blueprint(parts.model_changes, parts.cards, parts.promotions),
        promotions.blueprint(parts.promotions),
        migrations.blueprint(parts.repository, rows, importing),
        uploads.blueprint(parts.repository, parts.spool, _FIELDS, importing, _may_upload(settings)),
        reports.blueprint(parts.repository),
        jobs.blueprint(parts.reader, parts.watcher, parts.trainer.log, settings.max_wait, parts.receipts),
        trainings.blueprint(parts.trainings, parts.replays, parts.reader, _FIELDS, targets),
        lake_schedules.blueprint(parts.scheduled_predictions),
        predictions.blueprint(predicting, rows),
        prediction_log.blueprint(parts.log),
        outcomes.blueprint(parts.log),
        experiments.blueprint(parts.experiments),
        file_predictions.blueprint(parts.files, parts.reader, targets),
        webhooks.blueprint(parts.subscriptions, parts.reader, targets),
        keys.blueprint(parts.key_admin, parts.callers, parts.replays),
        audit.blueprint(parts.audit_log),
    ]


def _may_upload(settings: Settings) -> Callable[[WSGIEnvironment], bool]:
    if settings.allow_upload == "local":
        return is_own_user
    return lambda _: settings.allow_upload == "1"


def _other_protocols(parts: Parts) -> list[Blueprint]:
    rows = BodyLimit.of_rows(parts.settings.max_body_mb)
    waiting = _waiting(parts)
    return [
        open_inference.blueprint(waiting, parts.readiness, parts.loader, parts.metrics_reader, parts.stopping, rows),
        kserve.blueprint(waiting, rows),
        mlflow.blueprint(waiting, parts.readiness, rows),
        sagemaker.blueprint(waiting, rows),
    ]


def _waiting(parts: Parts) -> SynchronousPredictions:
    return SynchronousPredictions(parts.predictor, parts.settings.max_wait, parts.receipts)


def read_routes(file: Path) -> list[MappedRoute]:
    """Return the routes of ROUTES_FILE. Raises `SettingsError`."""
    try:
        return routes_file.read(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"ROUTES_FILE={file} cannot be read ({reason}); name a file in TOML, or none") from error
    except routes_file.RoutesFileError as error:
        raise SettingsError(f"ROUTES_FILE={file}: {error}") from error


def _add_mapped(app: Gateway, file: Path, parts: Parts) -> None:
    """Add the routes of ROUTES_FILE. Raises `SettingsError` if two routes would take the same address."""
    rows = BodyLimit.of_rows(parts.settings.max_body_mb)
    added = mapped.blueprint(read_routes(file), _waiting(parts), rows)
    app.register_blueprint(added)
    if overlaps := collisions(app.url_map.iter_rules(), added.name):
        more = f" (and {len(overlaps) - 1} more)" if len(overlaps) > 1 else ""
        raise SettingsError(f"ROUTES_FILE={file}: {overlaps[0]}{more}; give one of them another path")


def _pages(parts: Parts) -> list[Blueprint]:
    removed_days = parts.settings.retention.removed_model_days
    return [
        assets.blueprint(),
        sign_in.root(),
        sign_in.blueprint(parts.key_check, parts.closed.is_closed, parts.browser_sessions),
        ModelsPages(parts.repository, parts.states, parts.reader).blueprint(),
        OverviewPages(parts.descriptions, parts.states, parts.audit_log, parts.callers).blueprint(),
        TrafficPages(parts.repository, parts.traffic, parts.events).blueprint(),
        TryPages(Reasons(parts.predictor), BodyLimit.of_rows(parts.settings.max_body_mb)).blueprint(),
        DecisionPages(parts.model_changes).blueprint(),
        VersionPages(parts.model_changes, parts.cards, parts.trainings.find_schedule, removed_days).blueprint(),
        PromotionPages(parts.model_changes, parts.promotions).blueprint(),
        ComparePages(parts.predictor).blueprint(),
        FailurePages(parts.failures).blueprint(),
        HealthPages(parts.log).blueprint(),
        ExperimentPages(parts.experiments).blueprint(),
        LogPages(parts.log, parts.metrics).blueprint(),
        api.blueprint(parts.repository),
        JobsPages(parts.reader, parts.trainings).blueprint(),
        TrainingPages(parts.trainings, _FIELDS).blueprint(),
        system_page.blueprint(parts.system, parts.traffic, parts.reader),
        KeyPages(parts.key_admin, parts.callers, bool(parts.settings.trusted_user_header)).blueprint(),
        notification_page.blueprint(parts.subscriptions, parts.webhook_targets),
        audit_page.blueprint(parts.audit_log),
    ]


def _door(app: Gateway, parts: Parts, predicting: Predictions, access_log: AccessLog) -> Door:
    settings, proxies = parts.settings, parts.settings.trusted_proxies
    failed = FailedRequests(parts.failure_counts, parts.whole_repository)
    observers: list[Observer] = [RequestCounts(parts.counts, parts.uses), failed, access_log]
    spans = RequestSpans(tracer) if (tracer := start_tracing("gateway", settings)) else None
    if spans:
        observers.append(spans.end)
    return Door(
        app.wsgi_app,
        app.url_map.bind("localhost"),  # matching ignores the host
        FastPath(_route(app, "predictions.post"), predicting.post),
        Guard(settings.allowed_hosts, settings.cors_origins),
        parts.key_check,
        BodyWork(settings.max_body_mb * MB),
        functools.partial(refuse_model, parts.repository),
        observers,
        on_begin=spans.begin if spans else None,
        audit=door_audit.Audit(parts.audit_log, parts.repetitions),
        error_page=error_page,
        proxies=TrustedProxies(proxies, settings.trusted_user_header) if proxies else None,
        cors=Cors(settings.cors_origins) if settings.cors_origins else None,
    )


def _route(app: Flask, endpoint: str) -> Route:
    return next(rule for rule in app.url_map.iter_rules(endpoint) if isinstance(rule, Route))
