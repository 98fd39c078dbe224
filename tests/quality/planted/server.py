"""Run many planted errors: one process imports the library once and forks a child for each.

Reads a JSON list of jobs ``{"fault": fields or null, "nodes": [...], "first": bool, "limit": s}`` from standard input,
writes a JSON list of results ``{"passed": [...], "failed": {...}, "code": int, "seconds": s, "error": text}`` to standard
output, in the same order. With ``first`` a job stops at its first failed assertion; ``limit`` (:data:`LIMIT` where it is not
given) is the time after which it counts as hanging.

With ``--collected`` pytest collects the checks of all jobs once, before the errors are planted, and a child only runs its
own up to the first failure: for many quick jobs on the same files. The limit is then one of processor time, so that a busy
machine makes nothing hang; what a file computes while it is imported does not see the error.
"""

import contextlib
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
from exactdiffusion.checks import ledger

#: seconds after which a child counts as hanging (a planted error may turn a stopping rule off)
LIMIT = 300


def _load_everything():
    """Import what the checks import, so that the children inherit it."""
    import pytest  # noqa: F401

    for name in exactdiffusion._MODULES:
        __import__(f"exactdiffusion.{name}")
    assert ledger.all_statements()


def ask(jobs, *, deep=False, collected=False):
    """Start a server for these jobs and return its results, in the same order.

    Raises
    ------
    RuntimeError
        with the server's error output, when it does not end well.
    """
    options = [*(["--deep"] if deep else []), *(["--collected"] if collected else [])]
    return json.loads(python([__file__, *options], json.dumps(jobs)))


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


class _Collected:
    """Pytest plugin: instead of running the collected checks one after the other, run the jobs, each in a child."""

    def __init__(self, jobs):
        self.jobs, self.results, self.failed = jobs, None, {}

    def pytest_runtestloop(self, session):
        self.items = {item.nodeid: item for item in session.items}
        missing = {node for job in self.jobs for node in job["nodes"] if not self.expand(node)}
        if missing:  # a check that is not found would see everything
            raise RuntimeError(f"no such checks: {sorted(missing)}")
        self.results = _work(self.jobs, self.child)
        return True

    def pytest_runtest_makereport(self, item, call):
        if call.excinfo is not None and call.excinfo.typename not in ("Skipped", "XFailed"):
            self.failed.setdefault(item.nodeid, call.excinfo.typename)

    def expand(self, node):
        return [node] if node in self.items else [name for name in self.items if name.startswith(f"{node}::")]

    def child(self, job, write):
        from _pytest.runner import runtestprotocol

        limit = job.get("limit", LIMIT)
        signal.setitimer(signal.ITIMER_PROF, limit)  # processor time; a child that sleeps meets the other one
        signal.alarm(math.ceil(20 * limit))
        passed, error = [], ""
        try:
            if job["fault"] is not None:
                planted.plant(planted.from_spec(job["fault"]))
            names = list(dict.fromkeys(name for node in job["nodes"] for name in self.expand(node)))
            for name, following in zip(names, [*names[1:], None]):
                runtestprotocol(self.items[name], nextitem=self.items.get(following), log=False)
                if self.failed:
                    break
                passed.append(name)
        except BaseException:
            error = traceback.format_exc()
        with os.fdopen(write, "w") as stream:
            json.dump({"passed": passed, "failed": self.failed, "code": int(bool(self.failed)), "error": error}, stream)
        os._exit(0)


def _collected(jobs, deep):
    import pytest

    plugin, nodes = _Collected(jobs), sorted({node for job in jobs for node in job["nodes"]})
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = pytest.main([*planted.options(deep), "-s", *(str(planted.ROOT / node) for node in nodes)], plugins=[plugin])
    if plugin.results is None:
        raise RuntimeError(f"the checks cannot be collected (exit code {int(code)})")
    return plugin.results


def _work(jobs, child):
    """Results of ``child(job, write)``, one forked process for each job, as many at a time as there are processors."""
    workers = max(1, os.cpu_count() or 1)
    results, waiting, running = [None] * len(jobs), list(enumerate(jobs)), {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            # start as many processes as there are processors; each writes its result into a pipe
            while waiting and len(running) < workers:
                index, job = waiting.pop(0)
                read, write = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.close(read)
                    child(job, write)
                os.close(write)
                running[read] = (index, pid, time.perf_counter(), [])
                selector.register(read, selectors.EVENT_READ)

            # read from whatever has written; an empty read is the end of a process
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
    return results


def main():
    deep = "--deep" in sys.argv
    jobs = json.load(sys.stdin)
    _load_everything()
    if "--collected" in sys.argv:
        results = _collected(jobs, deep)
    else:
        results = _work(jobs, lambda job, write: _child(job, deep, write))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
