"""`make release`: everything that a release publishes, in dist/VERSION, from a clean tag. It publishes nothing itself.

It refuses without what only the owner can give: a licence, a contact for vulnerabilities, a key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import SettingsError
from contract.release import VERSION
from deploy.images import bake_file, compose_files
from scoring.key_files import private_key

PROJECT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = ("client", "kernels", ".", "bundle")
LOCKS = ("gateway", "worker", "trainer", "observer", "events", "mirror", "up")
"""The locks with an SBOM: those of the images, and that of a server on one machine."""
KEY = "RELEASE_KEY"


def main() -> int:
    """Return 1, and say all that is missing, if this cannot be a release."""
    missing = [*problems(PROJECT, os.environ), *_missing_programs()]
    if missing:
        _say("this cannot be a release:")
        for problem in missing:
            _say(f"  - {problem}")
        return 1
    folder = PROJECT / "dist" / VERSION
    folder.mkdir(parents=True)
    for name in DISTRIBUTIONS:
        _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT / name))
    for name in LOCKS:
        sbom, lock = folder / f"modelgate-{VERSION}-{name}.cdx.json", PROJECT / "requirements" / f"{name}.txt"
        _run(sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--output-reproducible", "-o", str(sbom))
    (folder / f"modelgate-{VERSION}-images.json").write_text(json.dumps(bake_file(published=True), indent=2) + "\n")
    for name, text in compose_files().items():
        (folder / name).write_text(text)
    (folder / "NOTES.md").write_text(notes((PROJECT / "CHANGELOG.md").read_text(), VERSION) or "")
    sign(folder, _key(os.environ))
    _say(f"{folder} holds the release. Now publish it:")
    for line in _NEXT:
        _say(f"  {line}")
    return 0


_NEXT = (
    f"git push origin v{VERSION}",
    f"twine upload dist/{VERSION}/*.whl dist/{VERSION}/*.tar.gz",
    f"docker buildx bake --push --file dist/{VERSION}/modelgate-{VERSION}-images.json",
    f"and put the files of dist/{VERSION}, with the text of NOTES.md, beside the tag",
)


def problems(project: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what has to be done before the tree in `project` can be a release, a sentence each."""
    if _output(project, "git", "status", "--porcelain"):
        yield "there are changes that are not committed; commit them or put them aside"
    tag = f"v{VERSION}"
    if tag not in _output(project, "git", "tag", "--points-at", "HEAD").splitlines():
        yield f"this commit has no tag {tag}; the version is the one in contract/release.py: git tag {tag}"
    if not notes((project / "CHANGELOG.md").read_text(), VERSION):
        yield f"CHANGELOG.md has no section '## {VERSION} (date)'; write what changes for whom"
    if "CONTACT" in (project / "SECURITY.md").read_text():
        yield "SECURITY.md names no contact; put the address for vulnerabilities where CONTACT stands"
    if not (project / "LICENSE").exists():
        yield "there is no LICENSE; choose one and put its text there"
    for name in DISTRIBUTIONS:
        if "license" not in tomllib.loads((project / name / "pyproject.toml").read_text())["project"]:
            yield f'{(Path(name) / "pyproject.toml")} names no licence; add license = "…" (an SPDX expression)'
    if (project / "dist" / VERSION).exists():
        yield f"dist/{VERSION} exists already; remove it"
    if _key(environ) is None:
        yield f"{KEY} names no private ed25519 key (PEM) to sign the checksums with; `python -m trainer keys` makes one"


def _missing_programs() -> Iterator[str]:
    for plugin in ("compose", "buildx"):
        if not shutil.which("docker") or subprocess.run(["docker", plugin, "version"], capture_output=True).returncode:  # noqa: S603, S607
            yield f"`docker {plugin}` does not work here; install it"


def notes(changelog: str, version: str) -> str | None:
    """Return the section of a release in the text of CHANGELOG.md, or None."""
    section = re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return section[1].strip() + "\n" if section else None


def sign(folder: Path, key: Ed25519PrivateKey | None) -> None:
    """Write SHA256SUMS for the files in `folder`, as `sha256sum --check` reads it, and its signature in base64."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    sums = "".join(lines).encode()
    (folder / "SHA256SUMS").write_bytes(sums)
    if key:
        (folder / "SHA256SUMS.sig").write_bytes(base64.b64encode(key.sign(sums)) + b"\n")


def _key(environ: Mapping[str, str]) -> Ed25519PrivateKey | None:
    with suppress(SettingsError):
        return private_key(Path(environ.get(KEY, "")), KEY)
    return None


def _output(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout  # noqa: S603


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
