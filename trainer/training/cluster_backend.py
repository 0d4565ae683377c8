"""Runs joblib's tasks on a Dask cluster whose workers have the libraries and nothing of ours.

joblib has a backend for Dask, too. It sends our classes by name, keeps the rows on one worker, whose death ends the
training, and takes the estimators with `n_jobs=1` along (docs/adr/0070-trainings-on-a-dask-cluster.md).
"""

from __future__ import annotations

import ctypes
import functools
import io
import operator
import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import cloudpickle
import numpy as np
import pandas as pd
from distributed import Client, Future, get_worker
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, SequentialBackend  # type: ignore[attr-defined]
from toolz import identity

SHARED_BYTES = 100_000
"""Tables from this size on are sent once, and not with each task."""

_LOOK_EVERY = 0.5
"""Seconds between two looks of a running task whether its training still wants it."""


class ClusterBackend(AutoBatchingMixin, ParallelBackendBase):
    """A backend for `joblib.parallel_config`. What runs in a task is sequential there."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, client: Client) -> None:
        super().__init__(nesting_level=0)  # type: ignore[no-untyped-call]
        self._client = client
        self._running: set[Future] = set()
        self._shared: dict[int, tuple[Any, Future]] = {}

    def get_nested_backend(self) -> tuple[Any, int | None]:
        return SequentialBackend(nesting_level=1), None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once. joblib runs them here, not there, if it is one; so it is two at least,
        unless one was asked for."""
        cores: int = max(2, sum(self._client.ncores().values()))
        return cores if n_jobs is None or n_jobs < 0 else min(n_jobs, cores)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Future:
        """Send a batch of calls, and call `callback` with its future when it has ended. Raises what pickling does."""
        tables: dict[str, Future] = {}
        file = io.BytesIO()
        _Packer(file, lambda table: self._share(table, tables)).dump(func)  # type: ignore[no-untyped-call]
        task = self._client.submit(
            operator.call,
            _ByValue(_run),
            file.getvalue(),
            list(tables),
            *tables.values(),
            key=f"modelgate-{uuid4().hex}",
        )
        self._running.add(task)
        task.add_done_callback(callback)
        return task

    def retrieve_result_callback(self, out: Future) -> Any:
        """Return the results of a batch. Raises what a call of it has raised."""
        self._running.discard(out)
        return out.result()

    def _share(self, table: Any, tables: dict[str, Future]) -> str:
        """Send a table unless the cluster has it, note it in `tables`, and return its key there.

        It is a task, which the scheduler repeats if all workers with the table die. Each worker gets a copy: tasks go
        first to those that have one.
        """
        if id(table) not in self._shared:
            sent = self._client.submit(identity, table, key=f"modelgate_table-{uuid4().hex}")
            self._client.replicate([sent])
            self._shared[id(table)] = table, sent
        future = self._shared[id(table)][1]
        tables[future.key] = future
        return str(future.key)

    def stop_call(self) -> None:
        self._shared.clear()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - joblib's
        self._client.cancel(list(self._running))
        self._running.clear()


_CachedFunction = type(functools.cache(len))


class _Packer(cloudpickle.Pickler):
    """Pickles all but large tables, for each of which it keeps what `share` returns."""

    def __init__(self, file: io.BytesIO, share: Callable[[Any], str]) -> None:
        super().__init__(file)  # type: ignore[no-untyped-call]
        self._share = share

    def persistent_id(self, obj: Any) -> str | None:
        if not isinstance(obj, np.ndarray | pd.DataFrame | pd.Series):
            return None
        size = obj.nbytes if isinstance(obj, np.ndarray | pd.Series) else obj.memory_usage().sum()
        return self._share(obj) if size >= SHARED_BYTES else None

    def reducer_override(self, obj: Any) -> Any:
        """Send functions that keep their answers by value, too, which cloudpickle does not."""
        if isinstance(obj, _CachedFunction):
            package = obj.__module__.partition(".")[0]
            if package in cloudpickle.list_registry_pickle_by_value():
                return functools.cache, (obj.__wrapped__,)
        return super().reducer_override(obj)  # type: ignore[no-untyped-call]


class _ByValue:
    """Arrives as what it holds, with its code: Dask itself pickles by name whatever it can."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return cloudpickle.loads, (cloudpickle.dumps(self._content),)


# On the workers


class _Unpacker(pickle.Unpickler):
    def __init__(self, packed: bytes, tables: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(packed))
        self._tables = tables

    def persistent_load(self, key: str) -> Any:
        return self._tables[key]


class _Unwanted(BaseException):
    """Ends a task that nobody waits for. Not an Exception: scikit-learn's searches go on after one."""


def _run(packed: bytes, keys: Sequence[str], *tables: Any) -> Any:
    """Call what was packed. Ends soon after the training has cancelled the task or is gone: Dask itself lets it run,
    and drops the answer. A fit that never comes back to Python meanwhile runs to its end."""
    worker, thread = get_worker(), threading.get_ident()
    key, lock, ended = worker.get_current_task(), threading.Lock(), threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                with lock:
                    if not ended.is_set():
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Unwanted))
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        return _Unpacker(packed, dict(zip(keys, tables, strict=True))).load()()
    finally:
        with lock:
            ended.set()
