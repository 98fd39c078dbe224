"""Run many planted errors: one process imports the library once and forks a child for each.

Reads a JSON list of jobs ``{"fault": fields or null, "nodes": [...], "first": bool, "limit": s}`` from standard input,
writes a JSON list of results ``{"passed": [...], "failed": {...}, "code": int, "seconds": s, "error": text}`` to standard
output, in the same order. With ``first`` a job stops at its first failing check; ``limit`` (:data:`LIMIT` where it is not
given) is the time after which it counts as hanging.
"""

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback

import plant as planted

import exactdiffusion
from exactdiffusion import ledger

#: seconds after which a child counts as hanging (a planted error may turn a stopping rule off)
LIMIT = 300


def _load_everything():
    """Import what the checks import, so that the children inherit it."""
    import pytest  # noqa: F401

    for name in exactdiffusion._MODULES:
        __import__(f"exactdiffusion.{name}")
    assert ledger.bounds.all_statements()


def ask(jobs, *, deep=False):
    """Start a server for these jobs and return its results, in the same order.

    Raises
    ------
    RuntimeError
        with the server's error output, when it does not end well.
    """
    return json.loads(python([__file__, *(["--deep"] if deep else [])], json.dumps(jobs)))


def python(arguments, text=""):
    """Standard output of this Python with the arguments; a RuntimeError with all its output when it fails."""
    done = subprocess.run([sys.executable, *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-4000:] + done.stderr[-4000:])
    return done.stdout


def _child(job, deep, write):
    signal.alarm(max(1, math.ceil(job.get("limit", LIMIT))))
    try:
        if job["fault"] is not None:
            planted.plant(planted.from_spec(job["fault"]))
        passed, failed, code = planted.run(job["nodes"], deep=deep, first=job.get("first", False))
        result = {"passed": sorted(passed), "failed": failed, "code": code, "error": ""}
    except BaseException:
        result = {"passed": [], "failed": {}, "code": -1, "error": traceback.format_exc()}
    with os.fdopen(write, "w") as stream:
        json.dump(result, stream)
    os._exit(0)


def main():
    deep, workers = "--deep" in sys.argv, max(1, os.cpu_count() or 1)
    jobs = json.load(sys.stdin)
    _load_everything()
    results, waiting, running = [None] * len(jobs), list(enumerate(jobs)), {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < workers:
                index, job = waiting.pop(0)
                read, write = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.close(read)
                    _child(job, deep, write)
                os.close(write)
                running[read] = (index, pid, time.perf_counter(), [])
                selector.register(read, selectors.EVENT_READ)
            for key, _ in selector.select():
                index, pid, start, parts = running[key.fd]
                data = os.read(key.fd, 1 << 16)
                if data:
                    parts.append(data)
                    continue
                selector.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(pid, 0)
                del running[key.fd]
                text = b"".join(parts).decode()
                limit = jobs[index].get("limit", LIMIT)
                hung = {"passed": [], "failed": {}, "code": -1, "error": f"no answer within {limit:g} s"}
                results[index] = {**(json.loads(text) if text else hung), "seconds": time.perf_counter() - start}
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
