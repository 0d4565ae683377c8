"""`python -m tests.deploy.kubernetes.rules` prints deploy/kubernetes/components/monitoring/rules.yaml: a PrometheusRule
with the alert rules of monitoring/alerts.yml."""

from __future__ import annotations

import sys
import textwrap

from tests.support import PROJECT

RULES = PROJECT / "monitoring" / "alerts.yml"
RULES_OF_KUBERNETES = PROJECT / "deploy" / "kubernetes" / "components" / "monitoring" / "rules.yaml"

_HEAD = """\
# Made from monitoring/alerts.yml: python -m tests.deploy.kubernetes.rules
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: { name: modelgate }
spec:
"""


def prometheus_rule() -> str:
    """Return the text of the PrometheusRule."""
    return _HEAD + textwrap.indent(RULES.read_text(), "  ")


if __name__ == "__main__":
    sys.stdout.write(prometheus_rule())
