"""The room in SPOOL_DIR: what counts, how much one owner may take, and who waits for the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.settings import MB
from storage.spool.names import FileFolder, tag_of
from storage.spool.room import FolderRoom
from tests.support import until

A, B = tag_of("a"), tag_of("b")


def sparse(path: Path, megabytes: float) -> None:
    path.touch()
    os.truncate(path, int(megabytes * MB))


def job(spool: Path, name: str, tag: str = "", **megabytes: float) -> FileFolder:
    folder = FileFolder.of(spool, name)
    folder.path.mkdir()
    if tag:
        folder.owner.write_text(tag)
    for file, size in megabytes.items():
        sparse(folder.path / file, size)
    return folder


def free(room: FolderRoom, tag: str = "") -> float:
    with room.locked(tag) as space:
        return space.free / MB


def test_a_file_counts_by_its_claim_until_only_results_are_left(tmp_path: Path) -> None:
    room = FolderRoom(tmp_path, 100)
    assert room.taken() == 0
    folder = job(tmp_path, "f", input=10)
    sparse(folder.part(0), 30)
    assert room.taken() == 10 * MB
    room.claim(folder, 30 * MB)
    room.claim(folder, 5 * MB)
    assert room.taken() == 45 * MB
    for _ in range(2):  # the scorer that assembled the parts has died
        room.claim(folder, 35 * MB, beyond=35 * MB)
    assert room.taken() == 80 * MB
    sparse(folder.output, 34)
    sparse(folder.errors, 1)
    assert room.taken() == 80 * MB
    for path in (folder.part(0), folder.claimed, folder.input):
        path.unlink()
    assert room.taken() == 35 * MB


def test_a_claim_beyond_the_room_changes_nothing(tmp_path: Path) -> None:
    room, folder = FolderRoom(tmp_path, 100), job(tmp_path, "f", input=10)
    room.claim(folder, 60 * MB)
    with pytest.raises(ModelgateError) as refused:
        room.claim(folder, 31 * MB)
    assert refused.value.failure.code == "spool_full"
    said = "there is no room for 31.0 MB more: 70 of 100 MB (SPOOL_MB) are taken; try again later"
    assert said in refused.value.failure.message
    assert room.taken() == 70 * MB


def test_an_owner_may_take_nine_tenths_of_what_others_leave(tmp_path: Path) -> None:
    room = FolderRoom(tmp_path, 100)
    folder = job(tmp_path, "f", A, input=10)
    assert (free(room), free(room, A), free(room, B)) == (90, pytest.approx(80), pytest.approx(81))
    sparse(tmp_path / f"0-{A}.upload", 10)
    sparse(tmp_path / "1-.upload", 10)
    assert (free(room), free(room, A)) == (70, pytest.approx(61))
    with pytest.raises(ModelgateError, match="20 of them by your owner, who may take nine tenths of what others leave"):
        room.claim(folder, 62 * MB)
    room.claim(folder, 61 * MB)
    assert free(room, A) == pytest.approx(0, abs=1e-5)
    assert free(room, B) == pytest.approx(8.1)


def test_a_process_that_is_stopped_while_it_holds_the_lock_stops_no_other(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom storage.spool.room import FolderRoom\n"
        "with FolderRoom(Path(sys.argv[1]), 1).locked(''):\n    print('locked', flush=True)\n    time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and until(holder.stdout.readline, "it holds the lock")
        holder.send_signal(signal.SIGSTOP)
        assert free(FolderRoom(tmp_path, 1)) == 1
    finally:
        holder.kill()
        holder.communicate()
