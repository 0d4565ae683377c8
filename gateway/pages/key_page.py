"""API keys: a list with their use, and a page of each to change, rotate and revoke it. A secret is shown once."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from broker.access.key_store import IssuedKey
from contract.work.api_keys import Detail, Scope
from gateway.door.sessions import PATH
from gateway.http.exchange import caller, current, note_problem
from gateway.http.problem_answers import problem_of
from gateway.pages.key_form import EXPIRIES, KEEP, LIMITS, KeyForm
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.problems import Problem
from gateway.protocols.key_requests import key_change, key_request, rotation_request
from gateway.serving.key_management import KeyAdmin, expires_soon, expiring
from gateway.serving.key_use import Callers, KeyUse

_PER_PAGE = 50
_LONGEST_SEARCH = 200


@dataclass(frozen=True)
class Row:
    """A key in the list. `ends`: whether it has expired, or soon does."""

    issued: IssuedKey
    use: KeyUse
    warnings: list[str]
    ends: bool


@dataclass(frozen=True)
class KeyPages:
    """`by_proxy`: a proxy signs people in."""

    keys: KeyAdmin
    callers: Callers
    by_proxy: bool

    def blueprint(self) -> Blueprint:
        keys, routes = self.keys, blueprint_of_pages("keys")

        @routes.get("/keys", level=Scope.ADMIN, page=True)
        def index() -> Response:
            return self._list(None)

        @routes.post("/keys", level=Scope.ADMIN, page=True, audit="make_key")
        def make() -> Response:
            form = KeyForm.new(caller(), first=False).sent(request.form)
            try:
                issued, secret = keys.make(key_request(form.body()))
            except Problem as error:
                return self._list(form.refused(problem_of(error)), problem_of(error))
            if secret is not None:
                return self._reveal(issued, secret, "made")
            current().on_key = issued.key.id
            return see(f"{PATH}/keys")

        @routes.get("/keys/<key_id>", level=Scope.ADMIN, page=True)
        def show(key_id: str) -> Response:
            return self._key(keys.get(key_id))

        @routes.post("/keys/<key_id>", level=Scope.ADMIN, page=True, audit="change_key")
        def change(key_id: str) -> Response:
            issued = keys.get(key_id)
            form = KeyForm.of(issued.key).sent(request.form)
            try:
                keys.change(key_id, key_change(form.change(request.form.get("shown", ""))))
            except Problem as error:
                return self._key(issued, form.refused(problem_of(error)), problem_of(error))
            return see(f"{PATH}/keys/{key_id}?changed=1")

        @routes.post("/keys/<key_id>/rotate", level=Scope.ADMIN, page=True, audit="rotate_key")
        def rotate(key_id: str) -> Response:
            overlap = request.form.get("overlap")
            body = {"overlap": overlap} if overlap else {}
            return self._reveal(*keys.rotate(key_id, rotation_request(body).overlap), "rotated")

        @routes.post("/keys/<key_id>/revoke", level=Scope.ADMIN, page=True, audit="revoke_key")
        def revoke(key_id: str) -> Response:
            keys.revoke(key_id)
            return see(f"{PATH}/keys")

        return routes

    def _list(self, form: KeyForm | None, problem: Problem | None = None) -> Response:
        """Return the list, with what was entered if there is a problem with it."""
        issued, text = self.keys.all(), request.args.get("q", "").strip()[:_LONGEST_SEARCH]
        matching = [key for key in issued if text.lower() in f"{key.key.name} {key.key.owner} {key.key.user or ''}"]
        pages = max(1, -(-len(matching) // _PER_PAGE))
        number = min(max(1, request.args.get("page", 1, int)), pages)
        rows = self._rows(matching[(number - 1) * _PER_PAGE : number * _PER_PAGE])
        return self._page(
            "keys.html",
            problem,
            title="Keys",
            rows=rows,
            known=len(issued),
            found=len(matching),
            expiring=expiring(issued),
            others=self.callers.others(issued) if number == pages and not text else [],
            text=text,
            longest=_LONGEST_SEARCH,
            before=_address(text, number - 1) if number > 1 else None,
            after=_address(text, number + 1) if number < pages else None,
            number=number,
            pages=pages,
            form=form or KeyForm.new(caller(), first=not issued),
            by_proxy=self.by_proxy,
            expiries=EXPIRIES,
        )

    def _key(self, issued: IssuedKey, form: KeyForm | None = None, problem: Problem | None = None) -> Response:
        (row,) = self._rows([issued])
        return self._page(
            "key.html",
            problem,
            title=f"The key {issued.key.name}",
            row=row,
            changed="changed" in request.args,
            shown=KeyForm.of(issued.key).as_text if form is None else request.form.get("shown", ""),
            form=form or KeyForm.of(issued.key),
            expiries={KEEP: "as now", **EXPIRIES},
        )

    def _page(self, template: str, problem: Problem | None, **values: object) -> Response:
        if problem:
            note_problem(problem.code)
        status = problem.status if problem else 200
        return page(template, status, scopes=list(Scope), limits=LIMITS, details=list(Detail), **values)

    def _rows(self, issued: list[IssuedKey]) -> list[Row]:
        warnings = self.keys.warnings(key.key for key in issued)
        return [
            Row(key, self.callers.of_key(key.key.id), said, expires_soon(key.key))
            for key, said in zip(issued, warnings, strict=True)
        ]

    def _reveal(self, issued: IssuedKey, secret: str, what: str) -> Response:
        current().on_key = issued.key.id
        (warnings,) = self.keys.warnings([issued.key])
        title = f"The key {issued.key.name}"
        return page("secret.html", title=title, issued=issued, secret=secret, what=what, warnings=warnings)


def _address(text: str, number: int) -> str:
    return f"{PATH}/keys?{urlencode({**({'q': text} if text else {}), 'page': number})}"
