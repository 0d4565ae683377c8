"""What the log must not have, and what is deleted from it, is in no file, no log, no page and nowhere in Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests

from broker.state.prediction_log import LOG
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from tests.observer.log.files import files_with
from tests.stacks.gateways import Site, carried_out, start_site
from tests.stacks.observer_process import ObserverProcess
from tests.stacks.trainer_process import trainer_process
from tests.support import state_dir, until, write_version

STREET, OTHER, INCOME = "Heidestrasse-4711", "Bergstrasse-0815", 31415926.535
"""Values that training did not see, so that warnings quote them."""
ID, OUTCOME = "Erika-Mustermann-1964", "paid-late-4711"
ROW = {"customer": ID, "street": STREET, "income": INCOME}
MAX = {"customer": "Max", "street": "main", "income": 1}
NATIVE, KSERVE = "/v1/models/{}/predict", "/v1/models/{}:predict"
CSV = f"customer,street,income\nMax,main,1\n{ID},{STREET},{INCOME}\n"
BODIES: list[tuple[str, dict[str, Any]]] = [
    (NATIVE, {"json": ROW}),
    (NATIVE, {"json": [MAX, ROW]}),
    (NATIVE, {"data": CSV, "headers": {"Content-Type": "text/csv"}}),
    (KSERVE, {"json": {"instances": [{**ROW, "street": OTHER}, MAX]}}),
]
"""Requests with seven rows, four of Erika and three of Max."""


class One:
    """Answers 1 for each row."""

    def predict(self, rows: Any) -> Any:
        return np.ones(len(rows))


@dataclass(frozen=True)
class Logged:
    """A site with a trainer and an observer, all of whose files are in one folder."""

    site: Site
    observer: ObserverProcess

    @contextmanager
    def observer_away(self) -> Iterator[None]:
        self.observer.stop()
        try:
            yield
        finally:
            self.observer.start()

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> requests.Response:
        answer = carried_out(method, self.site.gateway.address + path, **options)
        assert answer.status_code == status, answer.text
        return answer

    def predict(self, model: str) -> list[requests.Response]:
        """Have the rows of all bodies answered."""
        answers = []
        for path, body in BODIES:
            headers = {"Prefer": "wait=60", **body.get("headers", {})}
            answers.append(self.ask("POST", path.format(model), **{**body, "headers": headers}))
        return answers

    def delete_jobs(self, answers: Sequence[requests.Response]) -> None:
        for answer in answers:
            self.ask("DELETE", f"/v1/jobs/{answer.headers['X-Request-ID']}", 204)

    def pages_with(self, model: str, *texts: object) -> set[str]:
        """Return the pages of a model, and of the whole, that have one of these texts."""
        tabs = [f"/ui/models/{model}{tab}" for tab in ("", "/try", "/log", "/health", "/versions")]
        model_pages = [*tabs, f"/v1/models/{model}/health", f"/v1/models/{model}/outcomes"]
        everything = ["/metrics", "/v1/audit", "/ui/audit", "/ui/system", "/v1/traffic"]
        pages = {path: self.ask("GET", path).text for path in [*model_pages, *everything]}
        return {path for path, page in pages.items() if any(str(text) in page for text in texts)}

    def files_with(self, *texts: object) -> set[str]:
        """Return the names of the files of all processes that have one of these texts."""
        return {file for text in texts for file in files_with(self.site.server.folder, str(text))}

    def redis_as_text(self) -> None:
        """Have Redis write all that it holds, and nothing else, into its file, uncompressed."""
        redis: Any = self.site.cluster.redis
        redis.config_set("aof-use-rdb-preamble", "no")
        redis.bgrewriteaof()
        until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "Redis has rewritten its file")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("personal")
    models = folder / "models"
    inputs = (Field("street", Kind.STRING), Field("income", Kind.NUMBER))
    trained = [("main" if number % 2 else "side", float(number % 9)) for number in range(100)]
    profile = profile_of(Signature(inputs, (Output(OutputKind.NUMBER),)), trained, [1.0] * 100)
    for name in ("without", "person", "later"):
        write_version(models, name, One(), inputs, by_value=True, id_field="customer", profile=profile)
    settings = {"state_dir": str(state_dir(folder)), "spool_dir": str(folder / "spool"), "access_log_rate": "1000"}
    with ExitStack() as stack:
        site = stack.enter_context(start_site(folder, models, **settings))
        environment = {name.upper(): value for name, value in settings.items()}
        stack.enter_context(trainer_process(site.server, models, environment))
        site.cluster.start().ready()
        observer = ObserverProcess(site.server.url, models, folder, folder / "observer").start()
        stack.callback(observer.stop)
        yield Logged(site, observer)


@pytest.mark.replaces_parts
def test_what_is_left_out_is_nowhere_once_the_jobs_are_deleted(logged: Logged) -> None:
    left_out = ["street", "income", "customer"]
    logged.ask("PUT", "/v1/models/without/logging", json={"share": 1, "leave_out": left_out})
    with logged.observer_away():
        answers = logged.predict("without")
        assert f"'street' is far from what training saw: it is '{STREET}'" in answers[1].text
        waiting = logged.site.cluster.redis.xrange(LOG)
        assert waiting and not [text for text in (STREET, OTHER, INCOME, ID) if str(text) in str(waiting)]
    page = logged.ask("GET", "/v1/models/without/predictions").json()["items"]
    rows = {(*row["inputs"].values(), row["id"], *row["warnings"], *row["left_out"]) for row in page}
    assert (len(page), rows) == (7, {(None, None, None, *left_out)})
    assert logged.pages_with("without", STREET, OTHER, INCOME, ID) == set()
    logged.redis_as_text()
    assert {file.rpartition(".")[2] for file in logged.files_with(STREET)} == {"aof"}, "a job has its rows"
    logged.delete_jobs(answers)
    logged.redis_as_text()
    assert logged.files_with(STREET, OTHER, INCOME, ID) == set()


def forget_erika(logged: Logged, model: str) -> None:
    """Log rows of Erika and of Max, look at Erika's in every way there is, and delete them."""
    logged.ask("PUT", f"/v1/models/{model}/logging", json={"share": 1})
    answers = logged.predict(model)
    log, of_erika = f"/v1/models/{model}/predictions", {"id": ID}
    job = answers[1].json()["id"]
    outcomes = [{"id": ID, "outcome": OUTCOME}, {"job": job, "row": 1, "outcome": OUTCOME}, {"id": "Max", "outcome": 1}]
    logged.ask("POST", f"/v1/models/{model}/outcomes", json=outcomes)
    for kind in ("json", "x-ndjson", "vnd.apache.parquet"):
        logged.ask("GET", log, params=of_erika, headers={"Accept": f"application/{kind}"})
    assert logged.ask("GET", log, params=of_erika, headers={"Accept": "text/csv"}).text.count(ID) == 4
    assert STREET in logged.ask("GET", f"/ui/models/{model}/log", params=of_erika).text
    assert {path.rpartition(".")[2] for path in logged.files_with(ID)} == {"aof", "parquet"}
    logged.delete_jobs(answers)
    assert logged.ask("DELETE", log, params=of_erika).json() == {"deleted": 4}
    rows = logged.ask("GET", log).json()["items"]
    assert [(row["id"], row["inputs"]["street"]) for row in rows] == [("Max", "main")] * 3
    assert logged.pages_with(model, ID, STREET, OTHER, INCOME, OUTCOME) == set()


def test_a_person_who_is_deleted_is_in_no_file_but_that_of_redis(logged: Logged) -> None:
    forget_erika(logged, "person")
    found = logged.files_with(ID, STREET, OTHER, INCOME, OUTCOME)
    assert {file for file in found if not file.endswith(".aof")} == set()
    for method in ("GET", "DELETE"):
        assert f"{method} /v1/models/person/predictions 200" in logged.site.gateway.log


@pytest.mark.slow
def test_a_person_who_is_deleted_is_nowhere_after_a_minute(logged: Logged) -> None:
    """Redis keeps an answer of the observer for a minute, in which it puts its files in order, too."""
    forget_erika(logged, "later")

    def gone() -> bool:
        logged.redis_as_text()
        return not logged.files_with(ID, STREET, OTHER, INCOME, OUTCOME)

    until(gone, "nothing is left of Erika")
