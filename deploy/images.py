"""`make images`: the images of this version, built for this machine, and the files in dist/ that start them without a
checkout.

Our own images have the version as tag. Those of other programs with our configuration have its digest, so that
an upgrade replaces only those that have changed, and going back to the release before needs no older Redis.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.release import VERSION

PROJECT = Path(__file__).resolve().parents[1]
LOCKS = PROJECT / "requirements" / "environments"
SERVICES = ("gateway", "worker", "trainer", "observer", "events", "mirror")
_CONFIGURED: Mapping[str, Mapping[str, str]] = {
    "haproxy": {"gateway/haproxy": "/usr/local/etc/haproxy"},
    "prometheus": {
        "monitoring/prometheus.yml": "/etc/prometheus/prometheus.yml",
        "monitoring/alerts.yml": "/etc/prometheus/alerts.yml",
        "monitoring/targets": "/etc/prometheus/targets",
    },
    "alertmanager": {"monitoring/alertmanager": "/etc/alertmanager"},
    "grafana": {
        "monitoring/grafana/provisioning": "/etc/grafana/provisioning",
        "monitoring/grafana/dashboards": "/etc/grafana/dashboards",
    },
}
"""What each image of another program gets: from where in the project, to where in the image."""
_BASES = {
    "haproxy": "haproxy:3.0",
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
    "grafana": "grafana/grafana:12.1.1",
}
_REDIS = "broker/acl"


def bake_file(version: str = VERSION, *, published: bool) -> dict[str, Any]:
    """Return the targets of `docker buildx bake`; `published`: for both architectures, with SBOM and provenance, which
    only a registry can hold.

    `MODELGATE_IMAGES` is where they lie, such as registry.example.org/team/modelgate; `EXTRA_PACKAGES` is what models
    need besides; `ENVIRONMENTS` are names of environments, each of which has a worker. Format:
    https://docs.docker.com/build/bake/reference.
    """
    extra = os.environ.get("EXTRA_PACKAGES", "")
    environments = _environments()
    revision = _output("git", "rev-parse", "HEAD")
    targets: dict[str, dict[str, Any]] = {
        _target(image): {
            "dockerfile": f"{service}/Dockerfile",
            "args": {"OPENTELEMETRY": "1", "GRPC": "1", "EXTRA_PACKAGES": extra} | arguments,
            "labels": {
                "org.opencontainers.image.title": f"Modelgate {image}",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.revision": revision,
            },
        }
        for image, service, arguments in (
            *((service, service, {}) for service in SERVICES),
            *((f"worker-{name}", "worker", {"ENVIRONMENT": name}) for name in environments),
        )
    }
    if environments:
        targets["trainer"]["args"]["ENVIRONMENTS"] = " ".join(environments)
    redis = os.environ.get("REDIS_IMAGE") or "redis:8"
    targets["redis"] = {"dockerfile": f"{_REDIS}/Dockerfile", "args": {"REDIS_IMAGE": redis}}
    for name, files in _CONFIGURED.items():
        lines = [f"FROM {_BASES[name]}", *(f"COPY {source} {target}" for source, target in files.items())]
        targets[name] = {"dockerfile-inline": "\n".join(lines)}
    for name, image in images(os.environ.get("MODELGATE_IMAGES") or "modelgate", version).items():
        targets[_target(name)] |= {"context": ".", "tags": [image]}
        if published:
            targets[_target(name)] |= {"platforms": ["linux/amd64", "linux/arm64"], "attest": _ATTESTED}
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def _environments() -> list[str]:
    """Return the environments of ENVIRONMENTS, which blanks or commas separate. Raises SystemExit."""
    names = os.environ.get("ENVIRONMENTS", "").replace(",", " ").split()
    for name in names:
        if not (LOCKS / f"{name}.txt").is_file():
            raise SystemExit(f"ENVIRONMENTS: {name!r} is no environment, because it has no file {name}.txt in {LOCKS}")
    return names


def _target(image: str) -> str:
    """Return the name of its target, in which bake allows no dots."""
    return image.replace(".", "-")


_ATTESTED = ["type=provenance,mode=max", "type=sbom"]


def images(prefix: str, version: str) -> dict[str, str]:
    """Return the image of each service, with its tag."""
    services = (*SERVICES, *(f"worker-{name}" for name in _environments()))
    tags = dict.fromkeys(services, version) | {"redis": _digest([_REDIS])}
    tags |= {name: _digest([*files]) for name, files in _CONFIGURED.items()}
    return {name: f"{prefix}/{name}:{tag}" for name, tag in tags.items()}


def compose_files(version: str = VERSION) -> dict[str, str]:
    """Return the text of each file that starts a release, by its name."""
    of_images = images("${MODELGATE_IMAGES:-modelgate}", "${MODELGATE_VERSION:-" + version + "}")
    return {name: head + _merged(part, of_images) + "\n" for name, (part, head) in _RELEASED.items()}


def _merged(part: str, of_images: Mapping[str, str]) -> str:
    """Return docker-compose.yml with compose.<part>.yml and with images, as one file."""
    files = (
        "docker-compose.yml",
        f"compose.{part}.yml",
        "deploy/compose.images.yml",
        f"deploy/compose.{part}.images.yml",
    )
    chosen = [argument for file in files for argument in ("--file", file)]
    merged = ["config", "--no-interpolate", "--no-path-resolution", "--no-normalize"]
    text = _output("docker", "compose", *chosen, "--profile", "monitoring", "--profile", "grpc", *merged)
    used, _, _ = _of_environments(text).partition("\nx-")
    return _MODELS.sub(_models, re.sub("@(.+?)@", lambda name: of_images[name[1]], used))


def _of_environments(text: str) -> str:
    """Replace the workers of environments by those of `ENVIRONMENTS`, each as the worker is."""
    (worker,) = re.findall(r"^  worker:\n((?:    .*\n)+)", text, re.MULTILINE)
    once = re.sub("scale: .*", "scale: 1", worker)
    workers = [
        f"  worker-{name}:\n    profiles: [{name}]\n{once.replace('@worker@', f'@worker-{name}@')}"
        for name in _environments()
    ]
    return re.sub(r"(?:^  worker-.+:\n(?:    .*\n)+)+", "".join(workers), text, flags=re.MULTILINE)


# Only the short form takes the name of a volume or a folder. `config` reads it only where its variables are replaced.
_MODELS = re.compile(r"- (read_only: true\n +)?source: models\n +target: /models\n +type: volume\n")


def _models(mount: re.Match[str]) -> str:
    return "- ${MODELS_DIR:-models}:/models" + (":ro\n" if mount[1] else "\n")


_RELEASED = {
    "compose.release.yml": (
        "scale",
        f"""\
# Modelgate {VERSION} with two gateways behind HAProxy, from images, without a checkout:
#   docker compose --file compose.release.yml up --detach --wait
# Settings are in .env. Monitoring: --profile monitoring. Models are in the volume `models`, or in the folder that
# MODELS_DIR names (./models).
""",
    ),
    "compose.machine.release.yml": (
        "machine",
        f"""\
# Modelgate {VERSION} on one of several machines, from images, without a checkout:
#   docker compose --file compose.machine.release.yml up --detach --wait gateway worker
# Settings are in .env: docs/how-to/several-machines.md.
""",
    ),
}


def _digest(sources: Sequence[str]) -> str:
    """Return twelve hexadecimal digits of the tracked files below `sources`, with their names and modes."""
    return hashlib.sha256(_output("git", "ls-files", "--stage", "--", *sources).encode()).hexdigest()[:12]


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603


def main() -> int:
    """Build the images; return the exit code of the build."""
    targets = json.dumps(bake_file(published=False))
    command = ["docker", "buildx", "bake", "--file", "-", "--load", *sys.argv[1:]]
    if code := subprocess.run(command, cwd=PROJECT, input=targets, text=True, check=False).returncode:  # noqa: S603
        return code
    (PROJECT / "dist").mkdir(exist_ok=True)
    for name, text in compose_files().items():
        (PROJECT / "dist" / name).write_text(text)
    sys.stdout.write(f"built for {platform.machine()}; start them: docker compose --file dist/compose.release.yml up\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
