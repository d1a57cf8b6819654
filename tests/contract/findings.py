"""What came of generated requests. Without what generates them, which takes long to import."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was sent, what came of it, and what should not have."""

    sent: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    contended: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.sent.total()

    def __str__(self) -> str:
        statuses = ", ".join(
            f"{status}: {self.statuses[status]}" for status in sorted(self.statuses)
        )
        missed = sorted(label for label in self.sent if not self.good[label])
        lines = [
            f"{self.total} requests, {self.good.total() / self.total:.0%} with 2xx ({statuses})",
            *(f"never 2xx: {label}" for label in missed),
            *(f"{len(told)} x {fault}\n  {told[0]}" for fault, told in self.wrong.items()),
        ]
        return "\n".join(lines)
