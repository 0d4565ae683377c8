"""The page with the model card of a version."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response

from contract.model.card_text import sections
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.charts.outcome_charts import calibration_of
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader
from gateway.serving.model_cards import ModelCards
from gateway.serving.model_versions import check_model, resolve


def blueprint(cards: ModelCards) -> Blueprint:
    routes = blueprint_of_pages("card")
    repository = cards.log.repository

    @routes.get("/models/<name>/versions/<version>/card", level=Scope.READ, page=True)
    def show(name: str, version: str) -> Response:
        check_model(repository, name)
        card = cards.card(repository.manifest(*resolve(repository, f"{name}@{version}")))
        chart = None
        with suppress(LookupError, TypeError, ValueError):
            chart = calibration_of(card)
        return page(
            "card.html",
            title=f"Card of {name} version {card['version']}",
            header=ModelHeader.of(repository, name, caller()),
            card=card,
            parts=list(sections(card)),
            calibration=chart,
        )

    return routes
