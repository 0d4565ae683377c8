"""Opens pages in Chromium: `python bench/chromium.py ROUNDS ADDRESS…`, in the environment of the clients.

Prints a JSON line for each time that a page was opened: its address, whether its context was new, and the milliseconds
from the start of the navigation to the first byte and to the first paint.
"""

from __future__ import annotations

import json
import shutil
import sys

from playwright.sync_api import Page, sync_playwright

PAINT = """() => new Promise(painted => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  const done = () => painted([performance.getEntriesByType("navigation")[0].responseStart, found().startTime]);
  if (found()) done();
  else new PerformanceObserver(() => found() && done()).observe({ type: "paint", buffered: true });
})"""


def main() -> None:
    rounds, addresses = int(sys.argv[1]), sys.argv[2:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(rounds):
            for address in addresses:
                context = browser.new_context()
                page = context.new_page()
                for cold in (True, False):
                    _open(page, address, cold)
                context.close()
        browser.close()


def _open(page: Page, address: str, cold: bool) -> None:
    page.goto(address)
    first_byte, paint = page.evaluate(PAINT)
    sys.stdout.write(json.dumps({"address": address, "cold": cold, "first_byte": first_byte, "paint": paint}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
