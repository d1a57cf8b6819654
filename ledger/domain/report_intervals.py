"""How often workers report a job's progress, and so from when on their silence means something."""

PROGRESS_INTERVAL_S = 1.0
"""The shortest time between two reports of progress."""
SILENCE_S = 5.0
SILENCE_MAX_S = 600.0
SILENCE_SHARE = 0.1
"""An attempt is silent for at most a tenth of its age, so that its history stays short however long
it lasts, but for 5 s at least and ten minutes at most."""


def silence_allowed_s(age_s: float) -> float:
    """Return how long an attempt of this age may be silent."""
    return min(max(SILENCE_S, age_s * SILENCE_SHARE), SILENCE_MAX_S)
