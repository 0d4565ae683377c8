"""Checks that objects have the fields of their kinds, and no others.

The schemas of Kubernetes are those of kubernetes-validate. KEDA, the Prometheus operator and the Gateway API bring
schemas of their own, which no package has. FIELDS has the fields that we use, by hand from their references: a typing
error is found, and a wrong meaning is not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate

from tests.deploy.kubernetes.manifests import Cluster, name_of

RELEASES = ("1.29", "1.37")
"""The oldest release of Kubernetes that has sidecars without a feature gate, and the newest that the schemas know."""

ANY = None
FIELDS: Mapping[str, Any] = {
    # https://keda.sh/docs/latest/reference/scaledobject-spec/ and …/scalers/prometheus/
    "ScaledObject": {
        "scaleTargetRef": {"name": ANY},
        "minReplicaCount": ANY,
        "maxReplicaCount": ANY,
        "pollingInterval": ANY,
        "cooldownPeriod": ANY,
        "fallback": {"failureThreshold": ANY, "replicas": ANY, "behavior": ANY},
        "triggers": [
            {
                "type": ANY,
                "metadata": dict.fromkeys(("serverAddress", "query", "threshold", "ignoreNullValues")),
            }
        ],
    },
    # https://prometheus-operator.dev/docs/api-reference/api/
    "ServiceMonitor": {
        "selector": {"matchLabels": ANY},
        "jobLabel": ANY,
        "endpoints": [
            {
                "port": ANY,
                "interval": ANY,
                "authorization": {"credentials": {"name": ANY, "key": ANY}},
                "relabelings": [dict.fromkeys(("action", "regex", "sourceLabels", "targetLabel", "replacement"))],
            }
        ],
    },
    "PrometheusRule": {
        "groups": [
            {"name": ANY, "rules": [dict.fromkeys(("alert", "expr", "for", "labels", "annotations"))]},
        ]
    },
    # https://gateway-api.sigs.k8s.io/reference/spec/
    "HTTPRoute": {
        "parentRefs": [{"name": ANY, "namespace": ANY}],
        "hostnames": ANY,
        "rules": [{"backendRefs": [{"name": ANY, "port": ANY}]}],
    },
}
VERSIONS = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}


def check_schemas(cluster: Cluster) -> Iterator[str]:
    """Yield a sentence for each object with a field that its kind does not have, or a value of another type."""
    for thing in cluster.objects:
        kind = thing["kind"]
        if kind in FIELDS:
            if thing["apiVersion"] != VERSIONS[kind]:
                yield f"{name_of(thing)} has the version {thing['apiVersion']}, not {VERSIONS[kind]}"
            yield from (f"{name_of(thing)}: {field}" for field in _unknown(thing["spec"], FIELDS[kind], "spec"))
            continue
        for release in RELEASES:
            if error := _error(json.dumps(thing), release):
                yield f"{name_of(thing)} is no object of Kubernetes {release}: {error}"


@functools.cache  # each call reads megabytes of schemas
def _error(thing: str, release: str) -> str:
    """Return what is wrong with an object in JSON, or nothing."""
    try:
        kubernetes_validate.validate(json.loads(thing), release, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return ""


def _unknown(value: Any, fields: Any, path: str) -> Iterator[str]:
    if fields is ANY:
        return
    if isinstance(fields, list):
        for item in value if isinstance(value, list) else ():
            yield from _unknown(item, fields[0], path)
        if not isinstance(value, list):
            yield f"{path} is no list"
    elif not isinstance(value, dict):
        yield f"{path} has no fields"
    else:
        for name, content in value.items():
            if name not in fields:
                yield f"there is no field {path}.{name}"
            else:
                yield from _unknown(content, fields[name], f"{path}.{name}")
