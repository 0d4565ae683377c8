"""`python -m broker.metrics` prints docs/reference/metrics.md."""

from __future__ import annotations

import sys

from broker.metrics.table import documentation

sys.stdout.write(documentation())
