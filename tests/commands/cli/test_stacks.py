"""A service that hangs can be asked what it does."""

import os
import signal
from functools import partial

from tests.commands.cli.processes import Serve, Serving
from tests.support.wait import wait_for


def test_a_service_tells_its_stacks_and_goes_on(serve: Serve) -> None:
    """SIGUSR1 has it write those of all threads to standard error."""
    service = serve()
    for times in range(1, 21):
        os.kill(service.pid, signal.SIGUSR1)
        wait_for("for the stacks", partial(_has_told, service, times))
    assert service.get("/api/2.0/jobs/") == 401
    assert service.stop() == 0


def _has_told(service: Serving, times: int) -> bool:
    return service.log.count("Thread ledger-writer (most recent call last)") == times
