#!/usr/bin/env python3
"""Replays the ledger and compares it with itself and with the read models.

The same as `job-ledger audit replay`: scripts/audit_replay.py --data DIR [--job UUID] [--json]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.cli import main

if __name__ == "__main__":
    main("audit", "replay")
