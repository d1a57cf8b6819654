"""A service that hangs can be asked what it does."""

import os
import signal

from tests.cli.processes import Serve
from tests.support.wait import wait_for


def test_a_service_tells_its_stacks_and_goes_on(serve: Serve) -> None:
    """SIGUSR1 has it write those of all threads to standard error."""
    service = serve()
    os.kill(service.pid, signal.SIGUSR1)
    wait_for("for the stacks", lambda: "(most recent call first)" in service.log)
    wait_for("for the writer among them", lambda: "ledger/store/writer.py" in service.log)
    assert service.get("/api/2.0/jobs/") == 401
    assert service.stop() == 0
