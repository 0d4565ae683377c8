"""A client goes on while its server restarts, and no call is carried out twice."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from modelgate import Client, ModelgateError

from tests.flow.conftest import MakeUp
from tests.support import until

CALLS = 1000


class Doubles:
    n_features_in_ = 1

    def predict(self, X):  # type: ignore[no-untyped-def]
        return X[:, 0] * 2


@pytest.mark.slow
def test_a_server_that_restarts_in_the_middle_of_a_thousand_calls(tmp_path: Path) -> None:
    server = MakeUp(tmp_path, tmp_path / "models", settings={"TRAIN_ON_START": "iris"})
    server.start()
    try:
        mg = Client(server.address)
        mg.publish("doubles", Doubles())
        model, done = mg.model("doubles"), threading.Semaphore(0)

        def call(number: int) -> float | ModelgateError:
            try:
                return float(model.predict([[float(number)]])[0])
            except ModelgateError as error:
                return error
            finally:
                done.release()

        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(call, number) for number in range(CALLS)]
            for _ in range(300):
                done.acquire()
            server.stop()
            assert not all(answer.done() for answer in answers)
            server.start()
        results = [answer.result() for answer in answers]
        wrong = [
            (n, answer)
            for n, answer in enumerate(results)
            if not isinstance(answer, ModelgateError) and answer != 2 * n
        ]
        assert wrong == []
        failed = [answer for answer in results if isinstance(answer, ModelgateError)]
        assert len(failed) < 50, failed[:3]
        until(lambda: not any(not job.done for job in mg.jobs(model="doubles")), "the end of all jobs")
        made = Counter(job.output["predictions"][0] for job in mg.jobs(model="doubles", status="succeeded"))
        assert max(made.values()) == 1, made.most_common(3)
        assert len(made) >= CALLS - len(failed)
    finally:
        server.stop()
