"""The health check of a container: ends with 0 if the service in it answers that it is ready.

A file, because what starts it need not keep quotation marks: podman-compose 1.0 does not.
"""

import os
import sys
from http.client import HTTPConnection

PATIENCE_S = 8.0

connection = HTTPConnection(
    "127.0.0.1", int(os.environ.get("JOB_LEDGER_PORT", "8080")), timeout=PATIENCE_S
)
connection.request("GET", "/readyz")
sys.exit(connection.getresponse().status != 200)  # noqa: PLR2004 - HTTP's
