"""Timing, memory and records shared by the benchmarks."""

import argparse
import multiprocessing
import os
import platform
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import scipy

from exactdiffusion._core import files

RESULTS = Path(__file__).resolve().parent / "results"


def timed(function):
    """CPU time of one call, and what it returned."""
    start = time.process_time()
    value = function()
    return time.process_time() - start, value


def seconds(function):
    """CPU time of one call, freeing its result included."""
    start = time.process_time()
    function()
    return time.process_time() - start


def interleaved(tasks, repeats, warm=False):
    """CPU times (repeats, len(tasks)): every repetition runs all tasks in turn, ``warm`` after an untimed round."""
    for task in tasks if warm else ():
        task()
    return np.array([[seconds(task) for task in tasks] for _ in range(repeats)])


def interleaved_both(tasks, repeats):
    """CPU and wall times, each (repeats, len(tasks)), as `interleaved`."""
    times = np.empty((2, repeats, len(tasks)))
    for i in range(repeats):
        for k, task in enumerate(tasks):
            start = time.perf_counter()
            times[0, i, k] = seconds(task)
            times[1, i, k] = time.perf_counter() - start
    return times


def ratio(times, i, j):
    """Median of the ratios of task i to task j within repetitions: a drift of the machine's rate cancels."""
    return float(np.median(times[:, i] / times[:, j]))


def _held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _most():
    """High-water mark of the pages this process held since it started (unlike ``ru_maxrss``, not those of its parent)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def _peak(function, small, arguments):
    function(*small)
    before, high = _held(), _most()
    top, stop = [before], threading.Event()

    def watch():
        while not stop.wait(0.002):
            top[0] = max(top[0], _held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    function(*arguments)
    stop.set()
    watcher.join()
    if _most() > high:  # a new mark: exact, where the watcher may have missed the top
        top[0] = max(top[0], _most())
    return (top[0] - before) / 1e6


def peak(function, small, *arguments):
    """Megabytes that a new process holds at the peak of ``function(*arguments)`` beyond those before the call.

    Counts what compiled code allocates, too; arguments and all imports (by a call with ``small``) come before. None where
    /proc does not tell or the process was ended by the system.
    """
    if not Path("/proc/self/statm").exists():
        return None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_peak, function, small, arguments).result()
        except BrokenProcessPool:
            return None


def exponent(sizes, values):
    """Slope of log values against log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def processor():
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(**versions):
    """What the numbers were measured on; ``load`` is the system's mean number of running processes over the last minute."""
    load = {"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {}
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        **load,
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        **versions,
    }


def options(doc, name, **sizes):
    """Command-line options: ``sizes`` with their defaults, and where the record goes."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for key, default in sizes.items():
        many = {"nargs": "+", "type": type(default[0])} if isinstance(default, list) else {"type": type(default)}
        parser.add_argument(f"--{key}", default=default, **many)
    parser.add_argument("--output", type=Path, default=RESULTS / f"{name}.json")
    return parser


def cell(value):
    """A number as the tables print it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def show(rows, columns):
    """Print rows of dicts, the given columns."""
    lines = [list(columns), *([cell(row.get(c)) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths))), flush=True)


def write(path, columns, rows, growth, **rest):
    """Write the record; ``columns`` are those of the page, in order."""
    return write_record(path, {"columns": list(columns), "cases": rows, "growth": growth, **rest})


def write_record(path, record):
    """Write a record in one step, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, files.json_text(record))
    print(f"wrote {path}")
    return record
