"""What gunicorn loads in each gateway process."""

from __future__ import annotations

import logging

from flask import Flask

from contract.settings import Settings
from gateway.app import create_app


def application() -> Flask:
    logging.basicConfig(format="gateway: %(levelname)s %(message)s", level=logging.WARNING)
    return create_app(Settings.from_environ())
