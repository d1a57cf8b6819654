#!/usr/bin/env python3
"""Measure the service, each number beside a floor measured in the same run.

scripts/benchmark.py [--quick] [--only NAME]... [--json]; TMPDIR chooses the file system.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.benchmarks.command import main

if __name__ == "__main__":
    main()
