#!/usr/bin/env python3
"""Measures the service, each number beside a floor taken in the same run.

scripts/benchmark.py [--quick] [--only NAME]... [--json]; TMPDIR says on which file system.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.benchmarks.command import main

if __name__ == "__main__":
    main()
