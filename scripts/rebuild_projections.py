#!/usr/bin/env python3
"""Rebuild the read models from the ledger and switch to them: `job-ledger rebuild`.

scripts/rebuild_projections.py --data DIR
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.cli import main

if __name__ == "__main__":
    main("rebuild")
