#!/usr/bin/env python3
"""Replay the ledger and compare it with its read models: `job-ledger audit replay`.

scripts/audit_replay.py --data DIR [--job UUID] [--json]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.cli import main

if __name__ == "__main__":
    main("audit", "replay")
