"""Mistakes that someone might make in the manifests, and the sentences that the checks say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.deploy.kubernetes.manifests import WORKLOADS, Cluster, Object

Change = Callable[[Cluster], Any]


def _workload(cluster: Cluster, name: str) -> Object:
    (workload,) = [thing for thing in cluster.of(*WORKLOADS) if thing["metadata"]["name"] == name]
    return workload


def _pod(cluster: Cluster, name: str) -> Object:
    pod: Object = _workload(cluster, name)["spec"]["template"]["spec"]
    return pod


def _container(cluster: Cluster, name: str) -> Object:
    container: Object = _pod(cluster, name)["containers"][0]
    return container


def _spec(cluster: Cluster, kind: str, name: str) -> Object:
    thing = cluster.find(kind, name)
    assert thing
    spec: Object = thing["spec"]
    return spec


def _volume(cluster: Cluster, workload: str, name: str) -> Object:
    (volume,) = [volume for volume in _pod(cluster, workload)["volumes"] if volume["name"] == name]
    return volume


def _settings(cluster: Cluster) -> dict[str, str]:
    (config_map,) = cluster.of("ConfigMap")
    settings: dict[str, str] = config_map["data"]
    return settings


def _remove(cluster: Cluster, kind: str, name: str) -> None:
    cluster.objects = [thing for thing in cluster.objects if (thing["kind"], thing["metadata"]["name"]) != (kind, name)]


MISTAKES: dict[str, tuple[str, Change, str]] = {
    "a field that is misspelt": (
        "small",
        lambda c: _container(c, "worker").update(livenesProbe={}),
        "deployment/worker is no object of Kubernetes 1.29",
    ),
    "a value of another type": (
        "small",
        lambda c: _workload(c, "worker")["spec"].update(replicas="2"),
        "deployment/worker is no object of Kubernetes 1.37",
    ),
    "a field that KEDA does not have": (
        "autoscaled",
        lambda c: _spec(c, "ScaledObject", "worker").update(minReplicas=1),
        "scaledobject/worker: there is no field spec.minReplicas",
    ),
    "a field that Prometheus does not have": (
        "autoscaled",
        lambda c: _spec(c, "ServiceMonitor", "gateway")["endpoints"][0].update(relabeling=[]),
        "servicemonitor/gateway: there is no field spec.endpoints.relabeling",
    ),
    "no claim": (
        "small",
        lambda c: _remove(c, "PersistentVolumeClaim", "spool"),
        "deployment/worker: there is no claim spool",
    ),
    "no secret": (
        "small",
        lambda c: _remove(c, "Secret", "modelgate"),
        "deployment/events: there is no secret modelgate",
    ),
    "a key that the secret does not have": (
        "small",
        lambda c: _volume(c, "events", "secrets")["secret"]["items"][0].update(key="redis-event"),
        "deployment/events: the secret modelgate has no key redis-event",
    ),
    "a file that no secret mounts": (
        "small",
        lambda c: _volume(c, "gateway", "secrets")["secret"]["items"].pop(),
        "container gateway: TRAINER_SECRET_FILE names /secrets/trainer, which no secret mounts",
    ),
    "no settings": (
        "small",
        lambda c: _container(c, "worker")["envFrom"][0]["configMapRef"].update(name="settings"),
        "container worker: there is no config map settings",
    ),
    "a variable that is not defined": (
        "small",
        lambda c: _settings(c).pop("REDIS_ADDRESS"),
        "container worker: there is no variable REDIS_ADDRESS",
    ),
    "a setting that is misspelt": (
        "available",
        lambda c: _settings(c).update(TRAIN_ON_STRAT="none"),
        "container worker: TRAIN_ON_STRAT is no setting of Modelgate",
    ),
    "a setting with a value that no service takes": (
        "small",
        lambda c: _settings(c).update(STOP_DELAY="many"),
        "STOP_DELAY='many' is not a whole number",
    ),
    "the Redis user of another service": (
        "available",
        lambda c: _pod(c, "worker")["initContainers"][0]["env"][0].update(value="redis://worker@redis.example.org"),
        "container mirror: REDIS_URL has the user worker, which is not its own",
    ),
    "a Redis that does not exist": (
        "small",
        lambda c: _settings(c).update(REDIS_ADDRESS="redis-master:6379"),
        "container worker: there is no service redis-master",
    ),
    "another port of Redis": (
        "small",
        lambda c: _settings(c).update(REDIS_ADDRESS="redis:6380"),
        "container worker: the service redis has no port 6380",
    ),
    "a Redis that no policy lets pods reach": (
        "available",
        lambda c: _settings(c).update(REDIS_SCHEME="redis+sentinel", REDIS_ADDRESS="a.example.org:6380/mymaster"),
        "container worker: no network policy lets it reach port 6380, where Redis is",
    ),
    "a volume that does not exist": (
        "small",
        lambda c: _container(c, "trainer")["volumeMounts"].append({"name": "data", "mountPath": "/data"}),
        "container trainer mounts data, and its pod has no such volume",
    ),
    "a volume that nobody mounts": (
        "small",
        lambda c: _pod(c, "trainer")["volumes"].append({"name": "data", "emptyDir": {}}),
        "deployment/trainer: no container mounts the volume data",
    ),
    "labels of pods that their workload does not select": (
        "small",
        lambda c: _workload(c, "events")["spec"]["selector"]["matchLabels"].update(tier="back"),
        "deployment/events does not select its own pods",
    ),
    "two workloads that select the same pods": (
        "autoscaled",
        lambda c: _workload(c, "worker")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/name"),
        "deployment/worker selects the pods of deployment/worker-rare, too",
    ),
    "a spread over other pods": (
        "available",
        lambda c: _pod(c, "worker")["topologySpreadConstraints"][0]["labelSelector"].update(matchLabels={"app": "w"}),
        "deployment/worker: the labels of kubernetes.io/hostname are not those of its pods",
    ),
    "a service without pods": (
        "small",
        lambda c: _spec(c, "Service", "gateway")["selector"].update(app="gateway"),
        "service/gateway selects no pod",
    ),
    "a port that pods do not have": (
        "small",
        lambda c: _spec(c, "Service", "gateway")["ports"][0].update(targetPort="web"),
        "service/gateway: its pods have no port web",
    ),
    "a service that the stateful set does not find": (
        "small",
        lambda c: _workload(c, "redis")["spec"].update(serviceName="redis-0"),
        "statefulset/redis: there is no service redis-0",
    ),
    "a budget for no pod": (
        "available",
        lambda c: _spec(c, "PodDisruptionBudget", "worker")["selector"].update(matchLabels={"app": "worker"}),
        "poddisruptionbudget/worker selects no pod",
    ),
    "a budget that lets no node be drained": (
        "available",
        lambda c: _spec(c, "PodDisruptionBudget", "gateway").update(minAvailable=2),
        "poddisruptionbudget/gateway lets no node be drained",
    ),
    "a monitor of no service": (
        "autoscaled",
        lambda c: _spec(c, "ServiceMonitor", "gateway")["selector"].update(matchLabels={"app": "gateway"}),
        "servicemonitor/gateway selects no service",
    ),
    "each gateway scraped": (
        "autoscaled",
        lambda c: _spec(c, "ServiceMonitor", "gateway")["endpoints"][0].update(relabelings=[]),
        "servicemonitor/gateway: each gateway is a target, and everything is counted twice",
    ),
    "a scaler of nothing": (
        "autoscaled",
        lambda c: _spec(c, "ScaledObject", "worker-rare")["scaleTargetRef"].update(name="rare"),
        "scaledobject/worker-rare: there is no deployment rare",
    ),
    "a scaler beside a fixed number": (
        "autoscaled",
        lambda c: _workload(c, "gateway")["spec"].update(replicas=2),
        "horizontalpodautoscaler/gateway: each `kubectl apply` sets the pods of deployment/gateway back to 2",
    ),
    "a scaler that looks at other models": (
        "autoscaled",
        lambda c: _container(c, "worker-rare")["env"][0].update(value="sepals"),
        "scaledobject/worker-rare looks at blobs, and deployment/worker-rare serves sepals",
    ),
    "a metric that does not exist": (
        "autoscaled",
        lambda c: _spec(c, "ScaledObject", "worker")["triggers"][0]["metadata"].update(query="modelgate_backlog"),
        "scaledobject/worker: there is no metric modelgate_backlog",
    ),
    "a policy for no pod": (
        "small",
        lambda c: _spec(c, "NetworkPolicy", "redis")["podSelector"].update(matchLabels={"app": "redis"}),
        "networkpolicy/redis selects no pod",
    ),
    "a policy with a port that nobody has": (
        "small",
        lambda c: _spec(c, "NetworkPolicy", "to-redis")["egress"][0]["ports"][0].update(port="resp"),
        "networkpolicy/to-redis: no pod there has the port resp",
    ),
    "our label asked of the cluster's DNS": (
        "small",
        lambda c: _spec(c, "NetworkPolicy", "closed")["egress"][0]["to"][0]["podSelector"].update(
            matchLabels={"app.kubernetes.io/part-of": "modelgate"}
        ),
        "networkpolicy/closed: pods of other namespaces do not have our labels",
    ),
    "no policy": (
        "small",
        lambda c: _remove(c, "NetworkPolicy", "closed"),
        "deployment/worker: no network policy limits its ingress",
    ),
    "a worker on the internet": (
        "small",
        lambda c: _spec(c, "NetworkPolicy", "to-redis")["egress"].append({}),
        "deployment/worker can reach every machine",
    ),
    "a Redis for everybody": (
        "small",
        lambda c: _spec(c, "NetworkPolicy", "redis")["ingress"][0].pop("from"),
        "statefulset/redis can be reached from everywhere",
    ),
    "a writable root": (
        "small",
        lambda c: _container(c, "worker")["securityContext"].update(readOnlyRootFilesystem=False),
        "container worker: readOnlyRootFilesystem is not true",
    ),
    "a capability": (
        "available",
        lambda c: _pod(c, "worker")["initContainers"][0]["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "container mirror: capabilities is not",
    ),
    "root": (
        "small",
        lambda c: _pod(c, "trainer")["securityContext"].pop("runAsNonRoot"),
        "deployment/trainer: it may run as root",
    ),
    "no seccomp": (
        "small",
        lambda c: _pod(c, "trainer")["securityContext"].pop("seccompProfile"),
        "deployment/trainer: it has no seccomp profile",
    ),
    "a token of the cluster": (
        "small",
        lambda c: _pod(c, "redis").pop("automountServiceAccountToken"),
        "statefulset/redis: it gets a token of the cluster",
    ),
    "variables of services": (
        "small",
        lambda c: _pod(c, "worker").pop("enableServiceLinks"),
        "deployment/worker: it gets variables named after services",
    ),
    "no limit": (
        "small",
        lambda c: _container(c, "worker")["resources"].pop("limits"),
        "container worker has no limit of memory",
    ),
    "no request": (
        "small",
        lambda c: _container(c, "worker")["resources"]["requests"].pop("cpu"),
        "container worker requests no processor or no memory",
    ),
    "the image of whatever release": (
        "small",
        lambda c: _container(c, "worker").update(image="modelgate/worker"),
        "container worker: the image modelgate/worker has no tag of a release",
    ),
    "a start that nobody looks at": (
        "small",
        lambda c: _container(c, "trainer").pop("startupProbe"),
        "container trainer has no startupProbe",
    ),
    "a gateway that is not ready without Redis": (
        "small",
        lambda c: _container(c, "gateway")["readinessProbe"]["httpGet"].update(path="/health/ready"),
        "container gateway: readinessProbe asks for something other than /health/live",
    ),
    "a probe that asks other processes": (
        "small",
        lambda c: _container(c, "trainer")["livenessProbe"]["exec"]["command"].pop(),
        "container trainer: livenessProbe is not the health check of trainer/Dockerfile",
    ),
    "a Redis that is restarted while it reads its file": (
        "small",
        lambda c: _container(c, "redis")["livenessProbe"]["exec"]["command"].append("-e"),
        "container redis: livenessProbe restarts a Redis that waits",
    ),
    "nowhere to write": (
        "small",
        lambda c: _volume(c, "worker", "tmp").update(emptyDir=None) or _volume(c, "worker", "tmp").pop("emptyDir"),
        "container worker cannot write to /tmp",
    ),
    "a worker that writes models": (
        "small",
        lambda c: _container(c, "worker")["volumeMounts"][1].pop("readOnly"),
        "container worker: only trainer and mirror write to the model repository",
    ),
    "a stop that is cut short": (
        "small",
        lambda c: _settings(c).update(STOP_GRACE="60"),
        "container worker is killed after 30 s, and STOP_GRACE is 60 s",
    ),
    "a Redis on another node than those that need its node": (
        "small",
        lambda c: _pod(c, "redis").pop("affinity"),
        "deployment/worker needs the node of statefulset/redis, which may be on another one",
    ),
    "a rollout with two pods for one volume": (
        "available",
        lambda c: _workload(c, "observer")["spec"].update(strategy=_workload(c, "worker")["spec"]["strategy"]),
        "deployment/observer: a new pod needs the volume that the old one has",
    ),
    "a rollout with a gap": (
        "available",
        lambda c: _workload(c, "worker")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        "deployment/worker: an old pod stops before the new one is ready",
    ),
}
"""The overlay, what is changed in it, and the beginning or the middle of the sentence."""
