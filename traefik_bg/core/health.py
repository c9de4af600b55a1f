"""Turns probe results into a verdict: rise and fall, and what may be presumed.

Separate so that the counting can be tested without probing. Pure: the runtime's vitals feed it one
result after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from traefik_bg.core.model import HealthPolicy
from traefik_bg.core.observation import Health
from traefik_bg.core.ports import ProbeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What the probes of one life of a container have said so far."""

    health: Health = Health.UNKNOWN
    is_presumed: bool = False
    """It served when we first saw it: taken to be well until proven otherwise."""
    successes: int = 0
    failures: int = 0
    reason: str = ""

    def after(self, result: ProbeResult, policy: HealthPolicy) -> Pulse:
        """Return the pulse after one more probe."""
        if result.ok:
            successes = self.successes + 1
            risen = successes >= policy.rise or self.health is Health.HEALTHY
            health = Health.HEALTHY if risen else self._while_unproven()
            return replace(
                self, health=health, successes=successes, failures=0, reason=result.detail
            )
        failures = self.failures + 1
        health = self._while_unproven()
        if self.has_been_well and failures >= policy.fall:
            health = Health.UNHEALTHY
        return replace(self, health=health, successes=0, failures=failures, reason=result.detail)

    @property
    def has_been_well(self) -> bool:
        """Tell whether it was healthy once, or is presumed to have been."""
        return self.is_presumed or self.health in {Health.HEALTHY, Health.UNHEALTHY}

    def _while_unproven(self) -> Health:
        """Return the health that one result alone does not change."""
        if self.health in {Health.HEALTHY, Health.UNHEALTHY}:
            return self.health
        return Health.UNKNOWN if self.is_presumed else Health.STARTING
