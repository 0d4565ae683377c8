"""What KEDA and its HorizontalPodAutoscaler would do with a ScaledObject of ours, by their published rules.

- https://keda.sh/docs/latest/concepts/scaling-deployments/: KEDA itself decides between none and some. It is active
  while any trigger's figure is above its activation threshold (0). It scales to none once it has been inactive for
  `cooldownPeriod`.
- https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/: while there are some, the autoscaler wants
  ceil(figure / threshold) of them (AverageValue, KEDA's default), the most of all triggers, between 1 and
  `maxReplicaCount`. It changes nothing if the figure differs from threshold * replicas by at most a tenth. Within 15 s
  it adds at most 4 or as many as there are, whichever is more. It removes none that it has wanted within the last
  300 s.

Not simulated: pods that are not ready, and an unreachable Prometheus.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.1
ADDED_AT_LEAST = 4


@dataclass
class Autoscaler:
    """Decides how many replicas `spec`, that of a ScaledObject, should have. `figure` returns the value of a query, as
    Prometheus has it; `clock` seconds. `speed`: how many times as fast as in a cluster periods pass; figures do not.

    `scale` returns at once. Call `step` often.
    """

    spec: dict[str, Any]
    figure: Callable[[str], float]
    clock: Callable[[], float]
    speed: float = 1.0
    replicas: int = 0
    figures: list[float] = field(default_factory=list)
    """The last figures of the triggers, in order."""
    _active_at: float = -math.inf
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _period: tuple[float, int] = (-math.inf, 0)
    """When the last 15 s began, and how many there were."""

    def step(self) -> int:
        """Ask the triggers. Returns how many replicas there should be from now on."""
        now, triggers = self.clock(), self.spec["triggers"]
        self.figures = [self.figure(trigger["metadata"]["query"]) for trigger in triggers]
        if any(figure > 0 for figure in self.figures):
            self._active_at = now
        least: int = self.spec["minReplicaCount"]
        if self.replicas == 0:
            self.replicas = max(1, least) if self._active_at == now else least
        elif least == 0 and now - self._active_at > self.spec["cooldownPeriod"] / self.speed:
            self.replicas = 0
            self._wanted.clear()
        else:
            thresholds = [float(trigger["metadata"]["threshold"]) for trigger in triggers]
            wanted = max(map(self._wanted_by, self.figures, thresholds))
            self.replicas = self._damped(now, min(max(1, least, wanted), self.spec["maxReplicaCount"]))
        return self.replicas

    def _wanted_by(self, figure: float, threshold: float) -> int:
        if abs(figure / (threshold * self.replicas) - 1) <= TOLERANCE:
            return self.replicas
        return math.ceil(figure / threshold)

    def _damped(self, now: float, wanted: int) -> int:
        began, count = self._period
        if now - began > 15 / self.speed:
            began, count = self._period = now, self.replicas
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - 300 / self.speed:
            self._wanted.popleft()
        if wanted > self.replicas:
            return min(wanted, max(count + ADDED_AT_LEAST, 2 * count))
        return min(self.replicas, max(number for _, number in self._wanted))
