"""The alerts of `monitoring/alerts.yml` that a fault would fire, by `promtool`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support import PROJECT

RULES = PROJECT / "monitoring" / "alerts.yml"
_CONFIGURATION = (PROJECT / "monitoring" / "prometheus.yml").read_text()
READ_EVERY, EVALUATED_EVERY = map(int, re.findall(r"_interval: (\d+)s", _CONFIGURATION))
"""Seconds until Prometheus has read a change, and evaluated the rules, at most."""
_LATER = (0, 15, 30, 45)
USED = set(re.findall(r"modelgate_\w+", RULES.read_text()))


def firing(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return the alerts that fire within a minute if the metrics `before` become those of `now` and stay so, each with
    the seconds until then at most. Empty `now`: the gateway does not answer."""
    names = [name for name in {*before, *now} if name.partition("{")[0] in USED]
    series = [{"series": name, "values": f"{_four(before.get(name))} {_four(now.get(name))}"} for name in names]
    series.append({"series": 'up{job="modelgate"}', "values": f"1x3 {int(bool(now))}x3"})
    expected = [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{60 + seconds}s", "exp_samples": []}
        for seconds in _LATER
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": expected}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(RULES, folder)
        file = Path(folder, "test.yml")  # JSON is YAML
        file.write_text(json.dumps({"rule_files": [RULES.name], "evaluation_interval": "15s", "tests": [test]}))
        ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    text = ran.stdout + ran.stderr
    assert "SUCCESS" in text or "got:" in text, text
    alerts: dict[str, float] = {}
    for minutes, seconds, got in re.findall(r"time: (\d+)m(?:(\d+)s)?,\s+exp: nil\s+got: (.*)", text):
        after = 60 * (int(minutes) - 1) + int(seconds or 0)
        for alert in re.findall(r'alertname="(\w+)"', got):
            alerts.setdefault(alert, READ_EVERY + EVALUATED_EVERY + after)
    return alerts


def _four(value: float | None) -> str:
    return "_x3" if value is None else f"{value:.17g}x3"
