"""The application that each process of a gateway loads."""

from __future__ import annotations

import functools
import gc
import logging
import socket
import threading

from flask import Flask

from broker.state.presence import StuckProcesses
from contract.settings import Settings
from gateway.app import create_app
from gateway.http.exchange import log_context
from gateway.pages.layout import compile_templates
from gateway.server import heartbeat
from runtime import logs
from runtime.outages import repeat_in_thread

log = logging.getLogger(__name__)

GARBAGE = 20_000
"""New objects after which the garbage collector runs: those of some hundred requests."""


def application() -> Flask:
    """Return the application for gunicorn."""
    app = start_app(Settings.from_environ())
    threading.Thread(target=_prepare_pages, args=(app,), name="pages", daemon=True).start()
    log_change = functools.partial(app.extensions["readiness"].log_change, heartbeat.is_news)
    repeat_in_thread("readiness", log_change, 1.0, log, app.extensions["stopping"])
    return app


def start_app(settings: Settings) -> Flask:
    """Return the application of this process, whose threads run."""
    logs.add_context(log_context)
    app = create_app(settings)
    name = f"{socket.gethostname()}:{settings.port}"
    stuck = StuckProcesses(lambda: [f"{process} of the gateway {name!r}" for process in heartbeat.stuck()])
    app.extensions["outbox"].add_source(stuck.steps)
    app.extensions["outbox"].start()
    app.extensions["traffic_recorder"].start()
    app.extensions["watch_keys"]()
    # The objects that exist now stay; without this the collector would visit them every few hundred requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)
    return app


def _prepare_pages(app: Flask) -> None:
    """Do what a first visitor would wait for, and nobody else."""
    compile_templates()
    app.extensions["read_ahead"]()
