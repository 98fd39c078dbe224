"""An older tree and this one, timed in turn by processes of their own; used by ``before_after.py`` and ``growth.py``.

A script that calls `measure` is started again by it as a worker (``--worker``), once for each tree and once more for each
tree without the compiled kernels. A worker answers lines ``[name, kind]`` by the processor time of the call that the script
makes for them. One thread each; the order is row by row and repetition by repetition, so that a drift of the machine meets
both trees.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from evidence_diff import checkout

ROOT = Path(__file__).resolve().parents[1]
#: the commit before the kernels of laws, couplings, thresholds and panels were rewritten
OLDER = "6c1cf4d"
#: seconds below which a call is repeated, and the mean is taken
SHORTEST = 0.02


def serve(make):
    """Answer the lines on standard input; ``make(name, kind)`` returns the call to time, or one that returns its answer."""
    calls = {}
    for line in sys.stdin:
        key = tuple(json.loads(line))
        try:
            if key not in calls:
                call = make(*key)
                start = time.process_time()
                value = call()
                count = math.ceil(SHORTEST / max(time.process_time() - start, 1e-9))
                calls[key] = call, max(1, min(1000, count)), value if isinstance(value, Answer) else None
            call, count, answer = calls[key]
            if answer is None:
                start = time.process_time()
                for _ in range(count):
                    call()
                answer = (time.process_time() - start) / count
        # a refusal of the older tree, or a peer that is not installed, is an answer
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"[:60]
        print(json.dumps(answer), flush=True)


class Answer(float):
    """What a call returns where its processor time is not the answer."""


@contextlib.contextmanager
def worker(root, plain=False):
    """A function (name, kind) -> seconds or a message, served by a process that imports the package of ``root``."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    path = os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), "--worker", *["--plain"] * plain]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads, "PYTHONPATH": path}
    )

    def ask(name, kind):
        process.stdin.write(json.dumps([name, kind]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait(timeout=60)


@contextlib.contextmanager
def both(tag):
    """(ask the older tree, ask this tree); the function has the arguments (name, kind, plain)."""
    with contextlib.ExitStack() as stack:

        def asker(root):
            running = {}

            def ask(name, kind, plain=False):
                if plain not in running:
                    running[plain] = stack.enter_context(worker(root, plain))
                return running[plain](name, kind)

            return ask

        try:
            older = asker(stack.enter_context(checkout(tag)))
        except subprocess.CalledProcessError as error:
            print(f"no older tree ({error.stderr.strip()}): --tag takes a commit that this clone has", file=sys.stderr)

            def older(*_):
                return "absent"

        yield older, asker(ROOT)


def options(doc, repeats):
    """Command-line options of a script."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--tag", default=OLDER, help="the older tree: a tag or commit")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--only", default="", help="rows whose name contains TEXT", metavar="TEXT")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:  # the package then does as where numba is not installed
        sys.modules["numba"] = None
    return given


def middle(values):
    """Median of the numbers among the answers; None where there are none."""
    numbers = [v for v in values if isinstance(v, float)]
    return statistics.median(numbers) if numbers else None


def seconds(value):
    """A time in a unit that suits it."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return "0"
