# SPDX-License-Identifier: Apache-2.0
"""The load (load.py) beside a test: it begins before the block and is told to stop after it. What counts as failed is
said in clients.py."""

import contextlib
import json
import os
import signal
import subprocess
import sys

LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
SECONDS_MAX = 1200
RATE = float(os.environ.get("RATE", "200"))
SETTLE_SECONDS = 3  # of load before and after what is done under it


@contextlib.contextmanager
def load(url, rate, *options):
    """The block gets a dict, which holds the load's report after it."""
    process = subprocess.Popen([sys.executable, LOAD, "--url", url, "--rate", str(rate), "--seconds", str(SECONDS_MAX), *options],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    report = {}
    said = process.stderr.readline()
    assert said == "begun\n", said + process.stderr.read()
    try:
        yield report
    finally:
        process.send_signal(signal.SIGTERM)
        report.update(json.loads(process.communicate(timeout=60)[0]))


@contextlib.contextmanager
def nothing_fails(url, *options, rate=RATE):
    """The same, and no request may have failed."""
    with load(url, rate, "--settle", str(SETTLE_SECONDS), *options) as report:
        yield report
    print(json.dumps(told(report)))
    assert report["failed"] == 0 and report["ok"] == report["sent"] > 0, (told(report), report["timeline"])


def told(report):
    """What a failed assertion shows: the figures and the first failures."""
    return {name: report[name] for name in report if name not in ("failures", "timeline")} | {"first": report["failures"][:5]}
