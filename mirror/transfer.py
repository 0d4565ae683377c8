"""`python -m mirror.transfer push|pull|check`: the model repository between a folder and an object store."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from contract.errors import SettingsError
from contract.settings import MB, Settings
from runtime import logs
from storage.disk import StoreError
from storage.models.bucket import ModelBucket, key_of
from storage.models.heads import Contents, Head
from storage.models.mirrored import MirroredRepository, holds
from storage.models.repository_writer import RepositoryWriter
from storage.objects import Entry, FileFacts, Objects

FAILED, WRONG_USE = 1, 2

Line = tuple[str, bool]
"""What to say, and whether it is a problem."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mirror.transfer", description=__doc__)
    parser.add_argument("action", choices=("push", "pull", "check"))
    parser.add_argument("--contents", action="store_true", help="check reads each file, and not only its size")
    options = parser.parse_args(arguments)
    logs.configure("modelgate", command=True)
    try:
        settings = Settings.from_environ()
        bucket = ModelBucket(Objects.at("MODELS_URL", settings.models_url, settings.store_options_file))
        match options.action:
            case "push":
                lines = push(RepositoryWriter(settings.models_dir), bucket)
            case "pull":
                lines = pull(MirroredRepository(settings.models_dir, bucket))
            case _:
                lines = check(bucket, contents=options.contents)
        problems = 0
        for line, problem in lines:
            _say(line)
            problems += problem
    except SettingsError as error:
        _say(str(error))
        return WRONG_USE
    except OSError as error:  # of the store, too
        _say(str(error))
        return FAILED
    return FAILED if problems else 0


def push(repository: RepositoryWriter, bucket: ModelBucket) -> Iterator[Line]:
    """Put what the folder has and the store lacks there, under the same numbers. It may be repeated, and changes
    nothing that is there: the aliases of a model only if the store knew no version of it."""
    for model in repository.models_in_any_state():
        with repository.locked(model) as lock:
            last = repository.next_number(model, lock) - 1
            versions, (head, _) = repository.versions(model), bucket.head(model)
            missing = [version for version in versions if version not in head.live.versions]
            used = [version for version in missing if version <= head.last]
            different = [
                version
                for version in versions
                if version not in missing and not _same(repository, model, version, head)
            ]
            if used or different:
                numbers = _listed(sorted(used + different))
                yield f"{model}: not pushed: the store has used the numbers {numbers} for other versions", True
            elif missing:
                size = _push(repository, bucket, model, missing, last)
                yield f"{model}: pushed {_listed(missing)} ({size / MB:.1f} MB)", False
            else:
                yield f"{model}: the store has all versions", False


def _push(repository: RepositoryWriter, bucket: ModelBucket, model: str, missing: Sequence[int], last: int) -> int:
    """Put versions of a model into the store, and return their bytes. `last`: the last number that was used."""
    files = {version: bucket.upload(model, version, repository.files(model, version)) for version in missing}
    state = repository.state(model)

    def add(head: Head) -> None:
        if not head.live.versions:
            head.live.aliases, head.live.history, head.live.settings = state.aliases, state.history, state.settings
        head.last = max(head.last, last)
        head.live.versions |= files

    bucket.change(model, add)
    return sum(facts.size for version in files.values() for facts in version.values())


def pull(repository: MirroredRepository) -> Iterator[Line]:
    """Make the folder as the store is."""
    repository.check_writable()
    for model in list(repository.changed()):
        problems = repository.refresh(model)
        yield from ((problem, True) for problem in problems)
        if not problems:
            yield f"{model}: {_listed(repository.versions(model)) or 'no versions'}", False
    repository.notes.set_complete()


def check(bucket: ModelBucket, *, contents: bool) -> Iterator[Line]:
    """Say what the store lacks of what its heads name; with `contents`, read each file."""
    models = 0
    for model, _ in bucket.heads():
        models += 1
        try:
            head, _ = bucket.head(model)
        except StoreError as error:
            yield str(error), True
            continue
        there = {entry.key: entry for entry in bucket.entries(model)}
        problems = [*_misnamed(head.live), *_damaged(bucket, model, head, there, contents)]
        yield from ((f"{model}: {problem}", True) for problem in problems)
        if not problems:
            yield f"{model}: {_listed(sorted(head.live.versions)) or 'no versions'}: as published", False
    yield f"{models} models at {bucket.objects.url}", False


def _misnamed(contents: Contents) -> Iterator[str]:
    for alias, version in sorted(contents.aliases.items()):
        if version not in contents.versions:
            yield f"the alias {alias!r} names version {version}, which does not exist"


def _damaged(bucket: ModelBucket, model: str, head: Head, there: dict[str, Entry], contents: bool) -> Iterator[str]:
    for part in (head.live, *head.removed.values()):
        for version, files in sorted(part.versions.items()):
            for name, facts in files.items():
                entry = there.get(key_of(model, version, name))
                if entry is None:
                    yield f"version {version} lacks {name}"
                elif entry.size != facts.size or (contents and not _whole(bucket, entry.key, facts)):
                    yield f"{name} of version {version} is damaged"


def _whole(bucket: ModelBucket, key: str, facts: FileFacts) -> bool:
    with tempfile.TemporaryDirectory() as folder, suppress(StoreError, FileNotFoundError):
        bucket.objects.download(key, Path(folder) / "file", facts)
        return True
    return False


def _same(repository: RepositoryWriter, model: str, version: int, head: Head) -> bool:
    return holds(repository.files(model, version).folder, head.live.versions[version])


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
