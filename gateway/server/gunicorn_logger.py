"""gunicorn's own events go to the gateway's log."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn import glogging


class GatewayLogger(glogging.Logger):
    """gunicorn's logger without handlers of its own. `gateway.door` logs the requests."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = True
