"""What gunicorn loads in each gateway process."""

from __future__ import annotations

from flask import Flask

from contract.settings import Settings
from gateway.app import create_app


def application() -> Flask:
    return create_app(Settings.from_environ())
