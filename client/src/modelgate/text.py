"""Text of a server, shown without what could control a terminal."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that could move the cursor, recolour or reverse a line: all of these, but tabs and line ends."""


def visible(value: object) -> str:
    """Return the text of a value with a `\ufffd` for each control character."""
    return CONTROL.sub("\ufffd", str(value))


def without_password(url: str) -> str:
    """Return an address without the name and the password in it, since people show others what they see."""
    return re.sub(r"//[^/?#]*@", "//…@", url)
