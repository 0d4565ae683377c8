"""Protected models over HTTP and on pages: what one person alone is refused, and what a second one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_store import KEYS
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version
from trainer.jobs.commands import CommandParts, carry_out

MODEL = "/v1/models/sum"
PROMOTIONS = f"{MODEL}/promotions"
PUBLISHER = frozenset({Scope.READ, Scope.PUBLISH, Scope.APPROVE})
PAGE = "/ui/models/sum/promotions"


@pytest.fixture
def client(settings: Settings, redis: Redis, models: Path) -> FlaskClient:
    """A gateway whose trainer is this process; `sum` has three versions, and the first is current."""
    for version in (2, 3):
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, current=False)
    closed = replace(settings, admin_key=ADMIN_KEY)
    return create_app(closed, _trainer(closed, redis)).test_client()


def _trainer(settings: Settings, redis: Redis) -> Any:
    def run(command: RepositoryCommand) -> dict[str, Any]:
        return dict(carry_out(command.to_json(), CommandParts(settings, redis)))

    return run


@pytest.fixture
def ann(client: FlaskClient, redis: Redis) -> Caller:
    return Caller.with_key(client, redis, Key("key_a", "ann-laptop", "ann", PUBLISHER))


@pytest.fixture
def ben(client: FlaskClient, redis: Redis) -> Caller:
    return Caller.with_key(client, redis, Key("key_b", "ben-laptop", "ben", frozenset({Scope.READ, Scope.APPROVE})))


@pytest.fixture
def protected(ann: Caller) -> Caller:
    assert ann("PUT", f"{MODEL}/settings", json={"protected": True}).status_code == 200
    return ann


def ask(caller: Caller, **body: Any) -> dict[str, Any]:
    answer = caller("POST", PROMOTIONS, json=body or {"version": 2, "note": "better"})
    assert answer.status_code == 201, answer.text
    asked: dict[str, Any] = answer.get_json()
    return asked


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


def test_a_second_person_makes_a_version_current(protected: Caller, ben: Caller) -> None:
    assert protected("GET", MODEL).get_json()["settings"]["protected"] is True
    refused = protected("PUT", f"{MODEL}/aliases/current", json={"version": 2, "force": True})
    assert problem(refused) == (409, "approval_required")
    assert 'POST /v1/models/sum/promotions {"version": 2}' in refused.get_json()["detail"]
    request = ask(protected)
    assert (request["asker"], request["version"], request["note"], request["ending"]) == ("ann", 2, "better", None)
    path = f"{PROMOTIONS}/{request['id']}"
    assert problem(protected("POST", f"{path}/approve")) == (403, "second_person_needed")
    assert problem(ben("POST", f"{PROMOTIONS}/p9/approve")) == (404, "promotion_not_found")
    approved = ben("POST", f"{path}/approve", json={"force": True}).get_json()
    assert approved["aliases"] == {"current": 2, "previous": 1} and approved["promotion"]["decided_by"] == "ben"
    listed = ben("GET", PROMOTIONS).get_json()
    assert listed == {"protected": True, "items": [approved["promotion"]]}
    assert "key_a" not in str(listed)


def test_who_may_only_approve_asks_for_nothing(protected: Caller, ben: Caller) -> None:
    assert problem(ben("POST", PROMOTIONS, json={"version": 2})) == (403, "missing_scope")
    path = f"{PROMOTIONS}/{ask(protected)['id']}"
    assert problem(ben("DELETE", path)) == (403, "missing_scope")
    assert ben("POST", f"{path}/reject").get_json()["ending"] == "rejected"
    path = f"{PROMOTIONS}/{ask(protected)['id']}"
    assert protected("DELETE", path).get_json()["ending"] == "withdrawn"


def test_two_people_unprotect_a_model_and_none_removes_it(protected: Caller, ben: Caller) -> None:
    alone = [
        protected("PUT", f"{MODEL}/settings", json={"protected": False}),
        protected("DELETE", f"{MODEL}?confirm=sum"),
        protected("PUT", f"{MODEL}/aliases/previous", json={"version": 2}),
    ]
    assert [*map(problem, alone)] == [(409, "approval_required")] * 3
    request = ask(protected, unprotect=True)
    assert ben("POST", f"{PROMOTIONS}/{request['id']}/approve").status_code == 200
    assert problem(protected("POST", PROMOTIONS, json={"version": 2})) == (409, "not_protected")
    moved = protected("PUT", f"{MODEL}/aliases/current", json={"version": 2}).get_json()
    assert moved["aliases"] == {"current": 2, "previous": 1}
    assert protected("DELETE", f"{MODEL}?confirm=sum").status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, [], {"version": 0}, {"version": "2"}, {"unprotect": False}, {"version": 2, "unprotect": True}]
    + [{"version": 2, "note": "x" * 1001}, {"version": 2, "note": 7}, {"version": 2, "by": "ben"}],
)
def test_a_body_that_asks_for_nothing_or_for_two_things_is_refused(protected: Caller, body: Any) -> None:
    assert problem(protected("POST", PROMOTIONS, json=body)) == (422, "invalid_body")


def test_what_cannot_be_asked_for_says_why(protected: Caller) -> None:
    assert problem(protected("POST", PROMOTIONS, json={"version": 9})) == (404, "model_not_found")
    assert problem(protected("POST", PROMOTIONS, json={"version": 1})) == (409, "alias_moved")
    assert problem(protected("PUT", f"{MODEL}/settings", json={})) == (422, "invalid_body")


def test_a_key_for_other_models_learns_nothing(protected: Caller, client: FlaskClient, redis: Redis) -> None:
    request = ask(protected)
    other = Caller.with_key(client, redis, Key("key_c", "cem", "cem", PUBLISHER, models=frozenset({"other"})))
    for method, path in (("GET", ""), ("POST", f"/{request['id']}/approve"), ("POST", "")):
        assert problem(other(method, f"{PROMOTIONS}{path}", json={})) == (404, "unknown_model")


def test_without_keys_nobody_protects_a_model(settings: Settings, redis: Redis) -> None:
    anybody = create_app(settings, _trainer(settings, redis)).test_client()
    refused = anybody.put(f"{MODEL}/settings", json={"protected": True})
    assert problem(refused) == (403, "second_person_needed")
    assert "modelgate keys create ann" in refused.get_json()["detail"]
    assert not Repository(settings.models_dir).settings("sum").protected


def test_the_audit_log_names_both_people(protected: Caller, ben: Caller) -> None:
    ben("POST", f"{PROMOTIONS}/{ask(protected)['id']}/reject")
    ben("POST", f"{PROMOTIONS}/{ask(protected)['id']}/approve")
    entries = Caller(ben.client)("GET", "/v1/audit?model=sum").get_json()["items"]
    seen = [(one["action"], one["owner"], one["version"]) for one in entries[::-1]]
    assert seen[1:] == [
        *[("ask_promotion", "ann", 2), ("reject_promotion", "ben", 2)],
        *[("ask_promotion", "ann", 2), ("approve_promotion", "ben", 2)],
    ]


def test_the_pages_ask_and_a_second_person_decides_there(
    protected: Caller, ben: Caller, client: FlaskClient, models: Path
) -> None:
    asker, decider = (Browser(client.application.test_client()) for _ in range(2))
    asker.sign_in(protected.token)
    decider.sign_in(ben.token)
    promote = "/ui/models/sum/versions/2/promote"
    assert "Ask to make version 2 current?" in words(asker.get(promote).text)
    sent = asker.send("/ui/models/sum/versions/2/ask", promote, note="look at <March>")
    assert (sent.status_code, sent.headers["Location"]) == (303, PAGE)
    banner = "Version 2 waits for a second person, asked by ann"
    assert banner in words(asker.get("/ui/models/sum/versions").text)
    own, other = words(asker.get(PAGE).text), words(decider.get(PAGE).text)
    assert "“look at <March>”" in other and "'a' is needed instead of 'A'" in other
    assert "Approve Reject" in other and "Withdraw" not in other
    assert "Approve Reject" not in own and "You belong to the owner who asked" in own and "Withdraw" in own
    path = f"{PAGE}/{ask(protected)['id']}"
    assert asker.send(f"{path}/approve", PAGE).status_code == 403
    assert decider.send(f"{path}/approve", PAGE, before="3").status_code == 409, "another version is current"
    done = decider.send(f"{path}/approve", PAGE, before="1")
    assert (done.status_code, done.headers["Location"]) == (303, "/ui/models/sum/versions?now=2")
    assert Repository(models).aliases("sum") == {"current": 2, "previous": 1}
    assert "version 2 ann, " in words(decider.get(PAGE).text) and banner not in words(decider.get(PAGE).text)


def test_the_page_rejects_withdraws_and_unprotects(protected: Caller, ben: Caller, client: FlaskClient) -> None:
    asker, decider = (Browser(client.application.test_client()) for _ in range(2))
    asker.sign_in(protected.token)
    decider.sign_in(ben.token)
    ask(protected)
    for browser, action, ending in ((decider, "reject", "rejected by ben"), (asker, "withdraw", "withdrawn by ann")):
        path = f"{PAGE}/{ask(protected)['id']}/{action}"
        assert browser.send(path, PAGE).status_code == 303
        assert ending in words(browser.get(PAGE).text)
    assert asker.send("/ui/models/sum/unprotect", PAGE).status_code == 303
    assert "Stop protecting sum?" in words(decider.get(PAGE).text)
    request = ben("GET", PROMOTIONS).get_json()["items"][0]
    assert decider.send(f"{PAGE}/{request['id']}/approve", PAGE).headers["Location"] == PAGE
    assert "sum is not protected" in words(decider.get(PAGE).text)
    assert asker.send("/ui/models/sum/protect", PAGE).status_code == 303
    assert "sum is protected" in words(asker.get(PAGE).text)


def test_a_visitor_without_a_key_reads_that_it_takes_one(protected: Caller, settings: Settings, redis: Redis) -> None:
    ask(protected)
    redis.delete(KEYS)
    page = words(create_app(settings).test_client().get(PAGE).text)
    assert "You belong to the owner" not in page and "Approve Reject" not in page
    assert "Somebody with the scope approve and a key of their own has to decide." in page
