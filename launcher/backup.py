"""`python -m modelgate_server launcher.backup save|restore FILE`: models, jobs and keys of a server in one file.

The file is a compressed tar. Its last members are `backup.json`, with the size and the SHA-256 of each member, and
where there is a SIGNING_KEY, `backup.sig`: its ed25519 signature of `backup.json`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import logging
import os
import secrets
import shlex
import shutil
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import SettingsError
from contract.model.repository import Repository, valid_name
from contract.release import VERSION
from contract.settings import MB, Settings
from launcher.__main__ import lock_state
from launcher.port import CannotStartError
from launcher.welcome import MODELS_FILE
from runtime import logs
from scoring.key_files import private_key, public_keys, verifies

log = logging.getLogger("launcher")

INDEX, SIGNATURE = "backup.json", "backup.sig"
FORMAT = 1
_TRIES = 3
_UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


class BackupError(Exception):
    """Nothing was saved or restored; the message says why, and what to do."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m modelgate_server launcher.backup", description=__doc__)
    parser.add_argument("action", choices=("save", "restore"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    logs.configure("modelgate", command=True)
    try:
        settings = Settings.from_environ()
        if settings.redis_url:
            raise BackupError("REDIS_URL names a Redis of your own: back up that one as its own manual says")
        (save if options.action == "save" else restore)(settings, options.file)
    except (BackupError, CannotStartError, SettingsError) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("%s: %s", error.filename or options.file, error.strerror or error)
        return 1
    return 0


# Saving


def save(settings: Settings, file: Path) -> None:
    """Write the backup of a server, which may run meanwhile. An existing file is replaced once the new one is whole."""
    settings = _as_started(settings)
    key = private_key(settings.signing_key) if settings.signing_key else None
    for patience in range(_TRIES):
        part = file.with_name(f"{file.name}.{secrets.token_hex(8)}.part")  # nobody else can make it first
        try:
            with open(part, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
                index = _write(settings, stream, key)
            part.replace(file)
            break
        except FileNotFoundError:  # a version was deleted meanwhile
            if patience == _TRIES - 1:
                raise
        finally:
            part.unlink(missing_ok=True)
    signed = ", signed" if key else ""
    sys.stdout.write(f"{file}: {_summary(index)}, {file.stat().st_size / MB:.1f} MB{signed}\n")


def _as_started(settings: Settings) -> Settings:
    """Return the settings with the models of the server that was started last with this state."""
    if not _files(settings.state_dir / "redis"):
        raise BackupError(f"{settings.state_dir} has no jobs: no server was ever started there; name its folder")
    if not (elsewhere := settings.state_dir / MODELS_FILE).exists():
        return settings
    models = Path(elsewhere.read_text().removesuffix("\n"))
    if not models.is_dir():
        raise BackupError(f"there is no {models}, which was the MODELS_DIR of this server; start it once more")
    return replace(settings, models_dir=models)


def _write(settings: Settings, stream: IO[bytes], key: Ed25519PrivateKey | None) -> Mapping[str, Any]:
    """Write all files and return their index."""
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        index = {name: _add(archive, name, file) for name, file in _members(settings)}
        text = json.dumps({"backup": FORMAT, "release": VERSION, "made_at": time.time(), "files": index}).encode()
        _add_bytes(archive, INDEX, text)
        if key:
            _add_bytes(archive, SIGNATURE, key.sign(text))
    stream.flush()
    os.fsync(stream.fileno())
    return index


def _members(settings: Settings) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the names and contents of all files: jobs first, because they name versions, and aliases before
    versions."""
    state, models = settings.state_dir, settings.models_dir
    with ExitStack() as stack:
        for path, file in _opened(state / "redis", stack).items():
            yield str(path.relative_to(state)), file
    for path in (settings.marker, settings.trainer_secret_path):
        if path.exists():
            with path.open("rb") as file:
                yield str(path.relative_to(state)), file
    for path in Repository(models).all_files():
        with path.open("rb") as file:
            yield f"models/{path.relative_to(models)}", file


def _files(redis: Path) -> list[Path]:
    """Return the append-only files of a Redis: not what it is rewriting, and not which node is the primary."""
    return sorted(path for path in redis.rglob("appendonly*") if path.is_file() and not path.is_symlink())


def _opened(redis: Path, stack: ExitStack) -> dict[Path, IO[bytes]]:
    """Open the append-only files of one moment. Redis appends to them, and removes them once it has rewritten them, but
    not what is open."""
    while True:
        paths = _files(redis)
        with suppress(FileNotFoundError):
            files: dict[Path, IO[bytes]] = {path: stack.enter_context(path.open("rb")) for path in paths}
            if _files(redis) == paths:
                return files


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    lock = lock_state(state)
    try:
        yield
    finally:
        os.close(lock)


class _Hashed:
    """A file whose hash grows as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> dict[str, Any]:
    """Add a file, of which only the bytes count that it has now; return its entry in the index."""
    status = os.fstat(file.fileno())
    member = tarfile.TarInfo(name)
    member.size, member.mtime = status.st_size, status.st_mtime
    hashed: Any = _Hashed(file)
    archive.addfile(member, hashed)
    return {"size": member.size, "sha256": hashed.hash.hexdigest()}


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


# Restoring


def restore(settings: Settings, file: Path) -> None:
    """Unpack a backup where there is neither a model nor a job yet. Nothing of it gets there before all of it is
    checked, against VERIFY_KEY too if there is one. As root, act as the owner of STATE_DIR, whose server it is for."""
    keys = public_keys(settings.verify_key) if settings.verify_key else ()
    with file.open("rb") as stream:  # it and the keys may be readable for root alone
        _become_owner(settings.state_dir.absolute())
        with _locked(settings.state_dir):
            redis, repository = settings.state_dir / "redis", Repository(settings.models_dir)
            for folder, files in {redis: _files(redis), repository.root: repository.all_files()}.items():
                if files:
                    raise BackupError(f"{folder} is not empty; restore into another folder, or move it away")
            repository.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=repository.root, prefix=".restoring-") as unpacked:
                index = _checked(stream, keys, Path(unpacked))
                _move(Path(unpacked), settings.state_dir, repository.root)
    state = settings.state_dir.absolute()
    start = f"; start it: modelgate up {shlex.quote(str(state.parent))}" if state.name == ".modelgate" else ""
    sys.stdout.write(f"{_summary(index)} restored{start}\n")


def _become_owner(folder: Path) -> None:
    if os.getuid() == 0:
        owner = next(path for path in (folder, *folder.parents) if path.exists()).stat()
        os.setgroups(())
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _move(unpacked: Path, state: Path, models: Path) -> None:
    for path in (unpacked / "models").glob("*"):
        path.replace(models / path.name)
    for path in (unpacked / "closed", unpacked / "shared", unpacked / "redis"):
        if path.is_dir():
            shutil.copytree(path, state / path.name, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy(path, state)


def _checked(stream: IO[bytes], keys: Sequence[bytes], folder: Path) -> Mapping[str, Any]:
    """Unpack a backup into `folder` and return its index. Raises `BackupError` unless it is whole and, if there are
    `keys`, signed with one of them."""
    file = stream.name
    try:
        files = _unpack(stream, folder)
        text = (folder / INDEX).read_bytes() if files.pop(INDEX, None) else b""
        signature = (folder / SIGNATURE).read_bytes() if files.pop(SIGNATURE, None) else b""
        about = json.loads(text)
        index, made_as, release = about["files"], about["backup"], about["release"]
    except (*_UNREADABLE, FileExistsError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{file} is no whole backup of Modelgate ({error})") from error
    if made_as != FORMAT:
        raise BackupError(f"{file} has the format of the release {release}; restore it with that one")
    if files != index:
        raise BackupError(f"{file} is damaged: what it holds is not what was saved; take another backup")
    if keys and not any(verifies(key, text, signature) for key in keys):
        raise BackupError(f"{file} is not signed with a key of VERIFY_KEY")
    return files


def _unpack(stream: IO[bytes], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the files of an archive below `folder`, and return the size and the hash of each: what is written is what
    is hashed, and nothing follows it. Only this user can read those that are not models: they may be secrets."""
    entries = {}
    with gzip.open(stream) as content, tarfile.open(fileobj=content, mode="r|", bufsize=tarfile.BLOCKSIZE) as archive:
        for member in archive:
            path = folder / tarfile.data_filter(member, str(folder)).name
            if not member.isreg():
                raise ValueError(f"it has {member.name!r}, which is no file")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                hashed: Any = _Hashed(archive.extractfile(member))  # type: ignore[arg-type]
                shutil.copyfileobj(hashed, file)
            if not member.name.startswith("models/"):
                path.chmod(0o600)
                path.parent.chmod(0o700)
            entries[member.name] = {"size": member.size, "sha256": hashed.hash.hexdigest()}
        while block := content.read(2**20):
            if block.strip(b"\0"):
                raise ValueError("it goes on after its end")
    return entries


def _summary(index: Mapping[str, Any]) -> str:
    folders = {name.split("/")[1] for name in index if name.startswith("models/")}
    models = len(list(filter(valid_name, folders)))
    return f"{models} model{'' if models == 1 else 's'}, jobs and keys"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
