"""`modelgate failures`: why requests to a model fail, of a gateway with keys and a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.client.command.conftest import ADMIN_KEY, Modelgate
from tests.flow.estimators import ABORTS, RAISES, Faulty
from tests.stacks.gateways import Site, start_site
from tests.support import numbers, until, write_version


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Redis, a gateway that needs keys, and a worker with a model that some rows make raise."""
    models = tmp_path_factory.mktemp("models")
    write_version(models, "loan", Faulty(), numbers("a"), by_value=True)
    with start_site(tmp_path_factory.mktemp("site"), models, admin_key=ADMIN_KEY) as site:
        site.cluster.start().ready()
        yield site


@pytest.mark.slow
def test_the_command_names_what_most_requests_fail_of(faulty: Site, modelgate: Modelgate) -> None:
    address = faulty.gateway.address

    def ask(*arguments: str) -> Any:
        return modelgate("failures", "loan", *arguments, MODELGATE_URL=address, MODELGATE_API_KEY=ADMIN_KEY)

    def predict(row: dict[str, Any], key: str = ADMIN_KEY) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
        answer = requests.post(f"{address}/v1/models/loan/predict", json=row, headers=headers, timeout=60)
        body: dict[str, Any] = answer.json()
        return body

    assert "No request has failed since" in ask().out
    for _ in range(3):
        assert predict({"a": "x"})["code"] == "invalid_instances"
    for _ in range(2):
        assert predict({"a": RAISES})["error"]["code"] == "model_error"
    assert predict({"a": 1}, "mg_unknown")["code"] == "invalid_key"
    assert predict({"a": ABORTS})["error"]["code"] == "worker_crashed"
    assert predict({"a": 1})["status"] == "succeeded"
    until(lambda: sum(item["count"] for item in ask("--json").json["items"]) == 7, "all are reported")
    shown = ask("--since", "2h").out.splitlines()
    assert shown[0].startswith("of ")
    causes = [
        "a is not a number",
        "the model raised an error",
        "the key does not exist, or was revoked",
        "the scorer died",
    ]
    assert [line.partition("   ")[0] for line in shown[3:]] == causes
    assert "no key" in shown[-2]
    wrong = ask("--version", "9")
    assert (wrong.code, wrong.out) == (1, "") and "loan" in wrong.err
