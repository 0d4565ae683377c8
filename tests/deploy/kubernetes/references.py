"""Checks that what objects name exists: secrets and their keys, claims, settings, ports, services, labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from contract.errors import SettingsError
from contract.redis_url import SentinelUrl
from contract.settings import Settings
from tests.deploy.kubernetes.manifests import WORKLOADS, Cluster, Container, Object, labels_of, matches, name_of
from tests.support import PROJECT

BY_HAND = {
    "object-store": {"options.json"},
    "prometheus": {"key"},
    "modelgate-tls": {"tls.crt", "tls.key"},
}
"""The Secrets that docs/how-to/kubernetes.md says how to make, with their keys."""

PARTS_OF_URLS = {"REDIS_SCHEME", "REDIS_ADDRESS"}
"""Variables that no service reads: the manifests make REDIS_URL of them."""

_USERS = set(re.findall(r"^user (\w+) ", (PROJECT / "broker" / "acl" / "users.acl").read_text(), re.MULTILINE))
_OUR_LABEL = "app.kubernetes.io/part-of"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def check_references(cluster: Cluster) -> Iterator[str]:
    """Yield a sentence for each reference that leads nowhere."""
    for container in cluster.containers():
        yield from _mounts(cluster, container)
        yield from _variables(cluster, container)
    for workload in cluster.of(*WORKLOADS):
        yield from _volumes(cluster, workload)
        yield from _labels(cluster, workload)
    yield from _services(cluster)
    yield from _routes(cluster)
    yield from _policies(cluster)
    for budget in cluster.of("PodDisruptionBudget"):
        if not cluster.selected(budget["spec"]["selector"]):
            yield f"{name_of(budget)} selects no pod"
    for monitor in cluster.of("ServiceMonitor"):
        yield from _monitor(cluster, monitor)


def keys_of(cluster: Cluster, secret: str) -> set[str] | None:
    """Return the keys of a Secret; None if nobody makes it."""
    thing = cluster.find("Secret", secret)
    return set(thing["data"]) if thing else BY_HAND.get(secret)


def _volumes(cluster: Cluster, workload: Object) -> Iterator[str]:
    name, pod = name_of(workload), workload["spec"]["template"]["spec"]
    mounted = {m["name"] for spec in _specs(pod) for m in spec.get("volumeMounts", ())}
    for volume in pod.get("volumes", ()):
        if volume["name"] not in mounted:
            yield f"{name}: no container mounts the volume {volume['name']}"
        claim = volume.get("persistentVolumeClaim")
        if claim and not cluster.find("PersistentVolumeClaim", claim["claimName"]):
            yield f"{name}: there is no claim {claim['claimName']}"
        if secret := volume.get("secret"):
            keys = keys_of(cluster, secret["secretName"])
            if keys is None:
                yield f"{name}: there is no secret {secret['secretName']}"
            for item in secret.get("items", ()):
                if keys is not None and item["key"] not in keys:
                    yield f"{name}: the secret {secret['secretName']} has no key {item['key']}"


def _specs(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def _mounts(cluster: Cluster, container: Container) -> Iterator[str]:
    templates = {claim["metadata"]["name"] for claim in container.workload["spec"].get("volumeClaimTemplates", ())}
    for mount in container.spec.get("volumeMounts", ()):
        if not container.volume(mount) and mount["name"] not in templates:
            yield f"{container.name} mounts {mount['name']}, and its pod has no such volume"


def _variables(cluster: Cluster, container: Container) -> Iterator[str]:
    variables, missing = cluster.environment(container)
    for name in missing:
        yield f"{container.name}: there is no {name}"
    known = {entry.upper() for entry in Settings.__dataclass_fields__}
    for name in variables:
        if name.removesuffix("_FILE") not in known and name not in known | PARTS_OF_URLS:
            yield f"{container.name}: {name} is no setting of Modelgate"
    files = {name: value for name, value in variables.items() if name.endswith("_FILE")}
    try:
        Settings.from_environ({name: value for name, value in variables.items() if name not in files})
    except SettingsError as error:
        yield f"{container.name}: {error}"
    if container.spec["name"] in ("events", "observer"):
        files.pop("STORE_OPTIONS_FILE", None)  # they have a mirror, and read no files of users
    for name, path in files.items():
        if path not in _files(cluster, container, path):
            yield f"{container.name}: {name} names {path}, which no secret mounts"
    if "REDIS_URL" in variables and not missing:
        yield from _redis_url(cluster, container, variables["REDIS_URL"])


def _files(cluster: Cluster, container: Container, path: str) -> set[str]:
    """Return the files of the secret that is mounted above `path`."""
    mount = container.mount_of(path)
    volume = container.volume(mount) if mount else None
    if not mount or not volume or "secret" not in volume:
        return set()
    items = volume["secret"].get("items")
    names = [item["path"] for item in items] if items else keys_of(cluster, volume["secret"]["secretName"]) or set()
    return {f"{mount['mountPath']}/{name}" for name in names}


def _redis_url(cluster: Cluster, container: Container, url: str) -> Iterator[str]:
    parts = urlsplit(url)
    user = parts.netloc.partition("@")[0]
    if user not in _USERS or user != container.spec["name"]:
        yield f"{container.name}: REDIS_URL has the user {user}, which is not its own in users.acl"
    sentinel = SentinelUrl.parse(url)
    addresses = sentinel.sentinels if sentinel else [(parts.hostname or "", parts.port or 6379)]
    for host, port in addresses:
        yield from _address(cluster, container.name, host, port)
        if "." in host and port not in _outside_ports(cluster, container.workload):
            yield f"{container.name}: no network policy lets it reach port {port}, where Redis is"


def _outside_ports(cluster: Cluster, workload: Object) -> set[str | int]:
    """Return the ports that pods may reach on any machine."""
    policies = [policy["spec"] for policy in cluster.of("NetworkPolicy")]
    rules = [r for p in policies if matches(p["podSelector"], labels_of(workload)) for r in p.get("egress", ())]
    return {port["port"] for rule in rules if "to" not in rule for port in rule.get("ports", ())}


def _address(cluster: Cluster, owner: str, host: str, port: int) -> Iterator[str]:
    """Check an address if it is one of the namespace: a name without dots."""
    if "." in host:
        return
    service = cluster.find("Service", host)
    if not service:
        yield f"{owner}: there is no service {host}"
    elif port not in {entry["port"] for entry in service["spec"]["ports"]}:
        yield f"{owner}: the service {host} has no port {port}"


def _labels(cluster: Cluster, workload: Object) -> Iterator[str]:
    name, pod = name_of(workload), workload["spec"]["template"]["spec"]
    for other in cluster.selected(workload["spec"]["selector"]):
        if other is not workload:
            yield f"{name} selects the pods of {name_of(other)}, too"
    if not matches(workload["spec"]["selector"], labels_of(workload)):
        yield f"{name} does not select its own pods"
    affinity = pod.get("affinity", {}).get("podAffinity", {})
    terms = [*affinity.get(_REQUIRED, ())]
    for constraint in [*terms, *pod.get("topologySpreadConstraints", ())]:
        if not matches(constraint["labelSelector"], labels_of(workload)):
            yield f"{name}: the labels of {constraint['topologyKey']} are not those of its pods"
    for term in terms:
        for other in cluster.selected(term["labelSelector"]):
            if term not in other["spec"]["template"]["spec"].get("affinity", {}).get("podAffinity", {}).get(
                _REQUIRED, ()
            ):
                yield f"{name} needs the node of {name_of(other)}, which may be on another one"
    if workload["kind"] == "StatefulSet" and not cluster.find("Service", workload["spec"]["serviceName"]):
        yield f"{name}: there is no service {workload['spec']['serviceName']}"


def _port_names(workloads: Sequence[Object]) -> set[str | int]:
    specs = [spec for workload in workloads for spec in workload["spec"]["template"]["spec"]["containers"]]
    return {port[key] for spec in specs for port in spec.get("ports", ()) for key in ("name", "containerPort")}


def _services(cluster: Cluster) -> Iterator[str]:
    for service in cluster.of("Service"):
        pods = cluster.selected({"matchLabels": service["spec"]["selector"]})
        if not pods:
            yield f"{name_of(service)} selects no pod"
        for port in service["spec"]["ports"]:
            if pods and port["targetPort"] not in _port_names(pods):
                yield f"{name_of(service)}: its pods have no port {port['targetPort']}"


def _routes(cluster: Cluster) -> Iterator[str]:
    for ingress in cluster.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield from _backend(cluster, ingress, service["name"], *service["port"].values())
            yield from _host(cluster, ingress, rule["host"])
        for tls in ingress["spec"].get("tls", ()):
            if keys_of(cluster, tls["secretName"]) is None:
                yield f"{name_of(ingress)}: there is no secret {tls['secretName']}"
    for route in cluster.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                yield from _backend(cluster, route, backend["name"], backend["port"])
        for host in route["spec"]["hostnames"]:
            yield from _host(cluster, route, host)


def _backend(cluster: Cluster, owner: Object, name: str, port: str | int) -> Iterator[str]:
    service = cluster.find("Service", name)
    ports = service["spec"]["ports"] if service else []
    if not service:
        yield f"{name_of(owner)}: there is no service {name}"
    elif port not in {entry[key] for entry in ports for key in ("name", "port")}:
        yield f"{name_of(owner)}: the service {name} has no port {port}"


def _host(cluster: Cluster, owner: Object, host: str) -> Iterator[str]:
    for container in cluster.containers():
        allowed = cluster.environment(container)[0].get("ALLOWED_HOSTS", "").split(",")
        if container.spec["name"] == "gateway" and host not in allowed:
            yield f"{name_of(owner)}: the gateway refuses the host {host}, which ALLOWED_HOSTS does not name"


def _policies(cluster: Cluster) -> Iterator[str]:
    for policy in cluster.of("NetworkPolicy"):
        name, spec = name_of(policy), policy["spec"]
        pods = cluster.selected(spec["podSelector"])
        if not pods:
            yield f"{name} selects no pod"
        for side, rules in (("from", spec.get("ingress", ())), ("to", spec.get("egress", ()))):
            for rule in rules:
                peers = [peer for peer in rule.get(side, ()) if "podSelector" in peer]
                ours = [peer for peer in peers if "namespaceSelector" not in peer]
                for peer in peers:
                    if peer not in ours and _OUR_LABEL in peer["podSelector"].get("matchLabels", {}):
                        yield f"{name}: pods of other namespaces do not have our labels"
                    if peer in ours and not cluster.selected(peer["podSelector"]):
                        yield f"{name} names pods that do not exist"
                there = pods if side == "from" else [w for p in ours for w in cluster.selected(p["podSelector"])]
                for port in rule.get("ports", ()):
                    if isinstance(port["port"], str) and port["port"] not in _port_names(there):
                        yield f"{name}: no pod there has the port {port['port']}"


def _monitor(cluster: Cluster, monitor: Object) -> Iterator[str]:
    name = name_of(monitor)
    services = [s for s in cluster.of("Service") if matches(monitor["spec"]["selector"], s["metadata"]["labels"])]
    if not services:
        yield f"{name} selects no service"
    for endpoint in monitor["spec"]["endpoints"]:
        if not any(port["name"] == endpoint["port"] for s in services for port in s["spec"]["ports"]):
            yield f"{name}: no service there has the port {endpoint['port']}"
        secret = endpoint["authorization"]["credentials"]
        if secret["key"] not in (keys_of(cluster, secret["name"]) or ()):
            yield f"{name}: there is no secret {secret['name']} with the key {secret['key']}"
        addresses = [r for r in endpoint["relabelings"] if r.get("targetLabel") == "__address__"]
        if not addresses:
            yield f"{name}: each gateway is a target, and everything is counted twice"
        for relabeling in addresses:
            host, _, port = relabeling["replacement"].partition(":")
            yield from _address(cluster, name, host.partition(".")[0], int(port))
