"""What gateway and trainer agree on about `report.html`: the places that the gateway fills in when it shows the page.

Data cannot imitate them: what comes from users is escaped in a report.
"""

from __future__ import annotations

STATUS = "<!-- aliases and other versions -->"
"""Here stand the version's aliases, and links to the reports of the model's other versions."""

ADDRESS = "http://127.0.0.1:8080"
"""Stands in examples of requests for the address of the gateway."""

ADDRESS_ELEMENT = f'<span class="address">{ADDRESS}</span>'
"""The same on the page, where it can be told from what users have written."""
