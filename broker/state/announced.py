"""What gateways have announced to subscribers, so that they announce it once."""

from __future__ import annotations

from broker.link.scripts import Connected

ANNOUNCED = "mg-gateway:announced"


class Announced(Connected):
    """A hash of what is announced by its name. Methods take one round trip and raise `redis.exceptions.RedisError`."""

    def read(self) -> dict[str, str]:
        return {name.decode(): text.decode() for name, text in self._redis.hgetall(ANNOUNCED).items()}

    def note(self, name: str, text: str | None) -> None:
        """Remember this about `name`; None: forget it."""
        if text is None:
            self._redis.hdel(ANNOUNCED, name)
        else:
            self._redis.hset(ANNOUNCED, name, text)
