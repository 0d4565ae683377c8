"""What gunicorn loads in each gateway process."""

from __future__ import annotations

import gc

from flask import Flask

from contract.settings import Settings
from gateway.app import create_app
from runtime import logs

GARBAGE = 20_000
"""New objects after which the collector looks at the young ones: those of some hundred requests."""


def application() -> Flask:
    logs.configure("gateway")
    app = create_app(Settings.from_environ())
    # What is there now stays; without this the collector looks at all of it every few hundred requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)
    return app
