"""`python -m tests.qa.machines` kills and cuts off each of seven machines in turn, and accounts for every job.

Two gateways, three workers and two trainers have a network namespace each, with a mirror and folders of their own. They
share a Redis with Sentinels and a bucket behind a proxy that damages one answer in twenty. Meanwhile versions are
published and promoted, and files are scored. Needs root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.qa.machines.callers import Account, Callers, live
from tests.qa.machines.changes import Changes
from tests.qa.machines.network import HUB, Machine, make_hub
from tests.stacks.faulty_store import FaultyStore, at_random
from tests.stacks.object_store import s3_server
from tests.stacks.sentinels import Sentinels, sentinels
from tests.support import SECRET, until

MACHINES = ("gateway-1", "gateway-2", "worker-1", "worker-2", "worker-3", "trainer-1", "trainer-2")
SETTINGS = {
    "ALLOW_ANONYMOUS": "1",
    "ALLOW_UPLOAD": "1",
    "GATEWAY_PROCESSES": "1",
    "HOST": "0.0.0.0",
    "PORT": "8080",
    "REDIS_REPLICAS": "1",
    "TRAINER_SECRET": SECRET,
    "TRAIN_ON_START": "none",
    "WORKERS": "1",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.machines", description=__doc__)
    parser.add_argument("--away", type=float, default=8, help="seconds for which something is dead or cut off")
    parser.add_argument("--only", default="", help="what is killed and cut off, such as gateway-1")
    parser.add_argument("--faults", type=float, default=0.05, help="share of the store's answers that are damaged")
    arguments = parser.parse_args()
    if os.environ.get("IN_HUB") != "1":
        command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.qa.machines", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, "IN_HUB": "1"})
    make_hub()
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    with site(folder, arguments.faults) as whole:
        code = scenario(whole, arguments.away, arguments.only)
    if code:
        say(f"the logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return code


class Whole:
    """All machines, and what they share."""

    def __init__(self, machines: dict[str, Machine], redis: Sentinels, store: FaultyStore) -> None:
        self.machines, self.redis, self.store = machines, redis, store
        self.gateways = [f"http://{machines[name].address}:8080" for name in MACHINES if name.startswith("gateway")]


@contextmanager
def site(folder: Path, faults: float) -> Iterator[Whole]:
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(folder, HUB))
        redis = stack.enter_context(sentinels(folder, host=HUB))
        store = FaultyStore(s3.port, at_random(faults, 1), HUB)
        stack.callback(store.close)
        shared = {
            **SETTINGS,
            "ALLOWED_HOSTS": ",".join(f"10.204.{number}.2" for number in range(1, 1 + len(MACHINES))),
            "MODELS_URL": s3.bucket(),
            "REDIS_URL": redis.url,
            "SPOOL_URL": s3.bucket(),
            "STORE_OPTIONS_FILE": str(s3.options(store.port)),
        }
        machines = {}
        for number, name in enumerate(MACHINES, 1):
            machines[name] = Machine(name, number, folder / name, shared, [name.partition("-")[0]])
            machines[name].plug_in()
            machines[name].start()
            stack.callback(machines[name].kill)
        whole = Whole(machines, redis, store)
        try:
            until(lambda: all(map(live, whole.gateways)), "both gateways serve", 120)
            yield whole
        except BaseException:
            say(f"the logs are in {folder}")
            raise


def scenario(whole: Whole, away: float, only: str) -> int:
    account, changes = Account(), Changes(whole.gateways)
    until(changes.publish, "a first version", 120)
    with Callers(whole.gateways, account, 8), changes:
        until(lambda: len(account.answers) > 50, "answers", 120)
        account.gap()
        for name, event in events(whole, away):
            if only not in name:
                continue
            event()
            enough = len(account.answers) + 100
            until(lambda enough=enough: len(account.answers) > enough, f"answers after: {name}", 180)  # type: ignore[misc]
            say(f"{name:32} longest gap {account.gap():5.1f} s")
    wrong = changes.wrong(account.answers)
    for what, value in {
        "accepted": account.accepted,
        "succeeded": len(account.answers),
        "by versions": len({version for _, version, _ in account.answers}),
        "lost": len(account.lost),
        "wrong": len(wrong),
        "failed": len(account.failed),
        "refused": dict(account.refused),
        "published": dict(changes.published),
        "files": dict(changes.files),
    }.items():
        say(f"{what:12} {value}")
    for problem in (account.lost + account.failed + wrong + changes.problems)[:10]:
        say(problem)
    return int(bool(account.lost or wrong or account.failed or changes.problems))


def events(whole: Whole, away: float) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "nothing", lambda: time.sleep(away)
    for name, machine in whole.machines.items():
        yield f"{name} killed", lambda machine=machine: during(machine.kill, machine.start, away)  # type: ignore[misc]
        yield f"{name} cut off", lambda machine=machine: during(machine.cut_off, machine.mend, away)  # type: ignore[misc]
    yield "the store away", lambda: store_away(whole.store, away)
    yield "the primary of Redis killed", lambda: fail_over(whole.redis)


def during(begin: Callable[[], None], end: Callable[[], None], away: float) -> None:
    begin()
    time.sleep(away)
    end()


def store_away(store: FaultyStore, away: float) -> None:
    before = store.choose
    store.choose = lambda _method, _path: "unavailable"
    time.sleep(away)
    store.choose = before


def fail_over(redis: Sentinels) -> None:
    redis.fail_over().start()


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
