"""The Dask cluster at TRAIN_CLUSTER: what a training hands to joblib runs there."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contract.errors import Code, ModelgateError, SettingsError
from contract.settings import Settings
from trainer.recipe import Log
from trainer.recipes import OWN, pickled_by_value

CONNECT_SECONDS = 15
WORKER_SECONDS = 120
"""Longest wait for the scheduler, and for the first worker: some clusters start workers only for work."""

_OURS = ("contract", "scoring", "trainer", "modelgate_artifacts", "modelgate_kernels", OWN)
"""The packages that workers do not have. Their code is sent along."""

_SAME = ("python", "numpy", "pandas", "sklearn")
"""What workers have as the trainer does: code by value and fitted estimators are of one release."""


def check_cluster_client(settings: Settings) -> None:
    """Raise `SettingsError` if there is a cluster and no Dask to reach it. Imports nothing."""
    if settings.train_cluster and importlib.util.find_spec("distributed") is None:
        raise SettingsError(
            "TRAIN_CLUSTER is set, but Dask is not installed; install requirements/cluster.txt, or unset it"
        )


@contextmanager
def on_cluster(address: str, log: Log) -> Iterator[None]:
    """Have joblib run tasks on the cluster whose scheduler is at `address` within the block; empty: here, as always.

    The client ends with the block, or with this process: then the cluster ends its tasks. Raises `ModelgateError` if
    the cluster cannot be used, and as soon as it is lost.
    """
    if not address:
        yield
        return
    import joblib
    from distributed import Client, KilledWorker
    from distributed.client import FutureCancelledError

    from trainer.training.cluster_backend import ClusterBackend

    # The client has a thread, so it must not be there when this process is forked.
    with _connected(Client, address) as client:
        cores = sum(client.ncores().values())
        log(f"on the cluster {address}: {cores} cores on {len(client.ncores())} workers")
        try:
            with pickled_by_value(_OURS), joblib.parallel_config(ClusterBackend(client)):
                yield
        except KilledWorker as error:
            raise _failure(
                address, f"lost {error.allowed_failures + 1} workers to one task; do they have too little memory?"
            ) from error
        except FutureCancelledError as error:
            raise _failure(address, "was lost; train again once it is back") from error


@contextmanager
def _connected(client_type: Any, address: str) -> Iterator[Any]:
    """Yield a client of a cluster that has a worker, and the same libraries. Raises `ModelgateError`."""
    try:
        client = client_type(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # TypeError: there is no certificate
        hint = "look whether its scheduler runs, and at Dask's settings for TLS, DASK_DISTRIBUTED__COMM__TLS__*"
        raise _failure(address, f"cannot be reached ({error}); {hint}") from error
    with client:
        try:
            client.submit(bool).result(WORKER_SECONDS)
        except TimeoutError as error:
            raise _failure(address, f"had no worker for {WORKER_SECONDS} s; start workers, then train again") from error
        _check_libraries(client, address)
        yield client


def _check_libraries(client: Any, address: str) -> None:
    found = client.get_versions(packages=_SAME[1:])
    ours = _versions(found["client"])
    for worker, versions in found["workers"].items():
        if different := [name for name, version in _versions(versions).items() if version != ours[name]]:
            listed = ", ".join(f"{name} {_versions(versions)[name]} instead of {ours[name]}" for name in different)
            raise _failure(address, f"has a worker with other libraries ({worker}: {listed}); give it the same")


def _versions(found: dict[str, Any]) -> dict[str, str]:
    versions = {name: str(found["packages"].get(name)) for name in _SAME}
    return versions | {"python": ".".join(versions["python"].split(".")[:2])}


def _failure(address: str, what: str) -> ModelgateError:
    return ModelgateError(Code.TRAINING_FAILED, f"the cluster {address} (TRAIN_CLUSTER) {what}")
