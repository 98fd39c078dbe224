"""Time of ``pytest theory`` and, with ``--all``, of what ``make test`` runs, in an older tree and in this one.

    python benchmarks/suites.py [--tag 6c1cf4d] [--all] [--skip-older]

Each suite runs once in each tree, one worker per core and one thread per worker. Processor time is that of all processes of
the run; wall time depends on the load, which is printed beside it.
"""

import argparse
import contextlib
import os
import resource
import time

from _evidence import python
from _trees import OLDER, ROOT
from evidence_diff import checkout


def run(root, folders):
    """(wall seconds, processor seconds, last line) of pytest on these folders of a tree."""
    spent, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = ["-m", "pytest", "-q", "--tb=no", "-n", "auto", "--dist", "loadgroup", *folders]
    out, _ = python(root, arguments, good=(0, 1))
    wall, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime, out.strip().splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tag", default=OLDER, help="the older tree: a tag or commit")
    parser.add_argument("--all", action="store_true", help="also pytest tests theory")
    parser.add_argument("--skip-older", action="store_true", help="this tree alone")
    given = parser.parse_args()

    suites = [["theory"]] + [["tests", "theory"]] * given.all
    with contextlib.ExitStack() as stack:
        trees = {} if given.skip_older else {"before": stack.enter_context(checkout(given.tag))}
        for folders in suites:
            for name, root in {**trees, "after": ROOT}.items():
                wall, spent, last = run(root, folders)
                load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
                print(
                    f"pytest {' '.join(folders):14}{name:8}{spent:8.0f} s of processor time, {wall:.0f} s{load}: {last}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
