"""A suite: its cases, those that cannot be asked of Modelgate, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Server:
    """A Modelgate with the models iris, loan and boston, without keys."""

    address: str
    grpc: str = ""
    """The target of its gRPC server; empty without one."""


Ask = Callable[[Server], None]


@dataclass(frozen=True)
class Case:
    """Asks a server, and raises if it answers otherwise than the peer. `differs` says why Modelgate does so on purpose:
    such a case has to fail."""

    name: str
    ask: Ask
    differs: str = ""

    def failure(self, server: Server) -> str:
        """Return what differs, empty if nothing does."""
        try:
            self.ask(server)
        except Exception as error:  # what clients that others wrote raise is theirs to choose
            return f"{type(error).__name__}: {error}"
        return ""


@dataclass
class Suite:
    """The cases of one peer, in the order of its own."""

    peer: str
    cases: list[Case] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """The reasons why cases of the peer cannot be asked of Modelgate."""

    def case(self, name: str, *, differs: str = "") -> Callable[[Ask], Ask]:
        """Make the function that follows a case."""

        def add(ask: Ask) -> Ask:
            self.cases.append(Case(name, ask, differs))
            return ask

        return add

    def leave_out(self, reason: str, *names: str) -> None:
        """Name cases that are not applicable, and why."""
        self.left_out |= dict.fromkeys(names, reason)


def raised(ask: Callable[[], object]) -> Exception:
    """Return what a call raises, which it has to."""
    try:
        answer = ask()
    except Exception as error:
        return error
    raise AssertionError(f"nothing is raised; the answer is {answer!r}")
