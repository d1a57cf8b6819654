#!/usr/bin/env python3
"""Stands in for uv: notes how it was called, and unpacks the pinned wheels. Proves no hash."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path


def install(python, requirements, wheels):
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    pinned = re.findall(r"^(\w+)==(\S+)", Path(requirements).read_text(), re.MULTILINE)
    for name, version in pinned:
        wheel = wheels / f"{name}-{version}-py3-none-any.whl"
        zipfile.ZipFile(wheel).extractall(site.stdout.strip())
        if "UV_IS_KILLED" in os.environ:
            os.killpg(0, signal.SIGKILL)


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


match sys.argv[1:]:
    case ["--version"]:
        sys.stdout.write("uv 0.0.0\n")
    case ["cache", "dir"]:
        sys.stdout.write(f"{Path.home()}/uv-cache\n")
    case ["pip", "install", *_]:
        with Path(os.environ["FAKE_UV_LOG"]).open("a") as log:
            print(
                json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ)}), file=log
            )
        if "UV_FAILS" in os.environ:
            sys.exit("error: out of order\n  this line is too much")
        if fifo := os.environ.get("UV_WAITS_FOR"):
            with Path(fifo).open("rb", buffering=0) as waiting:
                waiting.read(1)
        install(option("--python"), option("-r"), Path(os.environ["FAKE_UV_WHEELS"]))
    case _:
        sys.exit(f"error: the fake uv does not know {sys.argv[1:]}")
