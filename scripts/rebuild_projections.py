#!/usr/bin/env python3
"""Builds the read models anew from the ledger and flips to them.

The same as `job-ledger rebuild`: scripts/rebuild_projections.py --data DIR
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.cli import main

if __name__ == "__main__":
    main("rebuild")
