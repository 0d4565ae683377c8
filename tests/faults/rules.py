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
USED = set(re.findall(r"modelgate_\w+", RULES.read_text()))


def firing(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return the alerts that fire a minute after the metrics `before` have become those of `now` and stay so, as
    Prometheus sees them every 15 s. Empty `now`: the gateway does not answer."""
    names = [name for name in {*before, *now} if name.partition("{")[0] in USED]
    series = [{"series": name, "values": f"{_four(before.get(name))} {_four(now.get(name))}"} for name in names]
    series.append({"series": 'up{job="modelgate"}', "values": f"1x3 {int(bool(now))}x3"})
    expected = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "1m45s", "exp_samples": []}
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [expected]}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(RULES, folder)
        file = Path(folder, "test.yml")  # JSON is YAML
        file.write_text(json.dumps({"rule_files": [RULES.name], "evaluation_interval": "15s", "tests": [test]}))
        ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    text = ran.stdout + ran.stderr
    assert "SUCCESS" in text or "got:" in text, text
    return sorted({*re.findall(r'alertname="(\w+)"', text.partition("got:")[2])})


def _four(value: float | None) -> str:
    return "_x3" if value is None else f"{value:.17g}x3"
