"""Opens pages in Chromium: `python bench/chromium.py ROUNDS ADDRESS…`, in the environment of the clients.

Prints a JSON line for each time that a page was opened: its address, whether its cache was empty, and the milliseconds
from the start of the navigation to the first byte and to the first paint. Nothing watches a page until it has settled:
the messages of a page that is watched take Chromium as long as its first paint.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

OPTIONS = (
    *("--headless", "--no-sandbox", "--window-size=1280,720", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-extensions", "--remote-debugging-port=0"),
)
SETTLED = 0.5
"""Seconds after which a tab or a page is left alone."""
PAINT = """new Promise(painted => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  const done = () => painted([performance.getEntriesByType("navigation")[0].responseStart, found().startTime]);
  if (found()) done();
  else new PerformanceObserver(() => found() && done()).observe({ type: "paint", buffered: true });
})"""


class Browser:
    """A Chromium, by its protocol (https://chromedevtools.github.io/devtools-protocol/)."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = count(1)

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Return the result of a method. Raises `RuntimeError` if Chromium refuses."""
        number = next(self._ids)
        await self._socket.send_json(
            {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        )
        while (answer := await self._socket.receive_json()).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def open_twice(self, address: str) -> list[tuple[float, float]]:
        """Open a page in a new tab with an empty cache, and again. Return the times to the first byte and paint."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = (await self.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        times = []
        for _ in range(2):
            await asyncio.sleep(SETTLED)
            await self.call("Page.navigate", session, url=address)
            await asyncio.sleep(SETTLED)
            parameters = {"expression": PAINT, "awaitPromise": True, "returnByValue": True}
            times.append((await self.call("Runtime.evaluate", session, **parameters))["result"]["value"])
        await self.call("Target.disposeBrowserContext", browserContextId=context)
        return times


async def main() -> None:
    rounds, addresses = int(sys.argv[1]), sys.argv[2:]
    async with started() as browser:
        for _ in range(rounds):
            for address in addresses:
                for cold, (first_byte, paint) in zip((True, False), await browser.open_twice(address), strict=True):
                    line = {"address": address, "cold": cold, "first_byte": first_byte, "paint": paint}
                    sys.stdout.write(json.dumps(line) + "\n")
                    sys.stdout.flush()


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as address:
        async with ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            yield Browser(socket)


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """Start a Chromium with a new profile. Yield the address of its protocol."""
    command = [shutil.which("chromium") or "chromium", *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            lines = process.stderr or ()
            yield next(line.split()[-1] for line in lines if line.startswith("DevTools listening on"))
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(main())
