"""The same results on three machines, made of one: as it is, with other kernels and features, with an inaccurate libm.

usage: .venv/bin/python .ci/portability.py [NOISE] [--from DIR] [--all]

DIR holds the records of a complete run of the theory files on this machine (`make test RECORDS=DIR`): a part of them stands
for the quick run that would otherwise be made here. ``--all`` fails where one of the three machines cannot be made.

Exit code 1 if a command fails or a ledger differs. One noise moves only some of the numbers that can move: another integer
NOISE (0 by default) makes another inaccurate libm.
"""

import argparse
import difflib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: The file in DIR that must be the same, byte for byte, in all configurations.
LEDGER = "ledger.toml"
#: Chains of commands of this Python; the commands of a chain run one after the other. DIR is a folder of the configuration.
CHAINS = [
    ["-m exactdiffusion verify --quick --check --records DIR"],
    ["-m exactdiffusion figures --all --check"],
]
AS_IS, OTHER, NOISY = "this machine", "other kernels", "noisy libm"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}

# What the probe prints: one line of JSON, then the values of each function (8 bytes each).
FUNCTIONS = ("exp", "log", "sin", "pow")
COUNT = 20_000
PROBE = f"""
import array, json, math, sys, warnings
warnings.simplefilter("error")
import numpy as np
from threadpoolctl import threadpool_info
x = np.random.default_rng(0).uniform(0.01, 5, {COUNT})
with np.errstate(all="raise"):
    found = [np.exp(x), np.log(x), np.sin(x), x**1.37]
of_libm = [array.array("d", map(f, x)) for f in (math.exp, math.log, math.sin, lambda t: math.pow(t, 1.37))]
print(json.dumps({{
    "kernel": "/".join(sorted({{p.get("architecture", "?") for p in threadpool_info() if p["user_api"] == "blas"}})),
    "simd": np.show_config(mode="dicts").get("SIMD Extensions", {{}}).get("found", []),
    "numpy_is_libm": [a.tobytes() == b.tobytes() for a, b in zip(found, of_libm)]}}), flush=True)
for values in found:
    sys.stdout.buffer.write(values.tobytes())
"""


def run(arguments, environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE.parent,
        env={**os.environ, **ONE_THREAD, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def probe(environment):
    """Kernel and features of a configuration, and the values of `FUNCTIONS` there."""
    done = run(["-c", PROBE], environment)
    if done.returncode:
        return {"error": done.stderr.decode(errors="replace").strip().splitlines()[-1:]}
    head, _, values = done.stdout.partition(b"\n")
    return {**json.loads(head), "values": [values[i : i + 8] for i in range(0, len(values), 8)]}


def noisy_libm(folder, noise=0):
    """Compile the library; its path, and a reason where there is none."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return None, "it is written for Linux with glibc on x86-64"
    library = Path(folder) / "noisy_libm.so"
    compiler = os.environ.get("CC", "cc")
    try:
        done = subprocess.run(
            [
                *compiler.split(),
                *f"-O2 -shared -fPIC -fno-builtin -DNOISE={noise} -o".split(),
                str(library),
                str(HERE / "noisy_libm.c"),
                "-lm",
            ],
            capture_output=True,
            text=True,
        )
    except OSError:
        return None, f"there is no C compiler ({compiler})"
    return (library, "") if done.returncode == 0 else (None, f"{compiler} failed: {done.stderr.strip()}")


def configurations(folder, noise=0):
    """Environments by name, each one seen to have an effect; one line on each is printed."""
    here = probe({})
    if "error" in here:
        raise SystemExit(f"{AS_IS}: NumPy cannot be probed: {here['error']}")
    print(f"{AS_IS}: kernel {here['kernel']}, NumPy's loops use {(here['simd'] or ['the baseline'])[-1]}")
    lowered = {"NPY_DISABLE_CPU_FEATURES": " ".join(here["simd"])} if here["simd"] else {}
    others = {"x86_64": ["Sandybridge", "Nehalem"], "aarch64": ["ARMV8", "NEOVERSEN1"]}.get(platform.machine(), [])
    kernel = next((name for name in others if name.lower() not in here["kernel"].lower()), "")
    library, reason = noisy_libm(folder, noise)
    wanted = {OTHER: {**lowered, "OPENBLAS_CORETYPE": kernel, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}}
    if library:
        wanted[NOISY] = {**lowered, "LD_PRELOAD": str(library)}
    else:
        print(f"{NOISY}: skipped, {reason}")

    found = {AS_IS: {}}
    for name, environment in wanted.items():
        there = probe(environment)
        if "error" in there:
            print(f"{name}: no second machine here: {there['error']}")
            continue
        moved = [
            sum(a != b for a, b in zip(here["values"][i : i + COUNT], there["values"][i : i + COUNT]))
            for i in range(0, len(here["values"]), COUNT)
        ]
        says = f"kernel {there['kernel']}, of {COUNT} values differ: " + ", ".join(
            f"{f} {count / COUNT:.1%}" for f, count in zip(FUNCTIONS, moved)
        )
        if not any(moved) and there["kernel"] == here["kernel"]:
            print(f"{name}: no second machine here: neither the BLAS kernel ({here['kernel']}) nor a value changes")
        elif name == NOISY and not (all(there["numpy_is_libm"]) and all(count > COUNT / 4 for count in moved)):
            print(f"{name}: no second machine here: NumPy does not ask libm for all of {', '.join(FUNCTIONS)} ({says})")
        else:
            print(f"{name}: {says}")
            found[name] = environment
    return found


def compare(name, text, other, changed):
    """Lines of two ledgers that differ, each with the name of its configuration."""
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), n=0, lineterm="")
    return [f"  {name if line[0] == '-' else other}: {line[1:]}" for line in list(lines)[2:] if line[0] in "-+"]


def part_of(source, quick):
    """Ledger of a quick run, from the records of a complete one in ``source``; those in ``quick`` say which tests ran."""
    from exactdiffusion.checks import expected, verify

    (_, whole), (_, part) = verify.read_records(source), verify.read_records(quick)
    ran = {(record.statement, record.test) for record in part.records}
    whole.records = [record for record in whole.records if (record.statement, record.test) in ran]
    return expected.toml(expected.without_tolerances(expected.summarise(whole)))


def main(chains=CHAINS, ledger=LEDGER, noise=0, every=False, source=None):
    started, failures = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        machines = configurations(folder, noise)
        folders = {name: Path(folder, name.replace(" ", "-")) for name in machines}

        def work(job):
            chain, name = job
            folders[name].mkdir(exist_ok=True)
            for command in chain:
                done = run([word.replace("DIR", str(folders[name])) for word in command.split()], machines[name])
                if done.returncode:
                    output = (done.stdout + done.stderr).decode(errors="replace")
                    return f"{name}: exit code {done.returncode}: python {command}\n{output}"

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jobs = [(chain, name) for chain in chains for name in machines]
        if source is not None and len(machines) > 1:
            jobs.remove((chains[0], AS_IS))
        with ThreadPoolExecutor(cores) as pool:
            failures += filter(None, pool.map(work, jobs))
        if source is not None and len(machines) > 1:
            quick = next((folders[name] for name in machines if (folders[name] / "records.json").is_file()), None)
            if quick is not None:
                (folders[AS_IS] / ledger).write_text(part_of(source, quick), encoding="utf-8")
        written = {name: path / ledger for name, path in folders.items() if (path / ledger).is_file()}
        texts = {name: path.read_bytes() for name, path in written.items()}
        failures += [f"{name}: the commands wrote no {ledger}" for name in machines if name not in texts]
        for name, text in texts.items():
            if text != texts.get(AS_IS, text):
                lines = compare(AS_IS, texts[AS_IS].decode(), name, text.decode()) or ["  white space at the ends of lines"]
                failures.append("\n".join([f"{name}: {ledger} differs from that of {AS_IS}", *lines]))
    print(*failures, sep="\n", end="\n" if failures else "")
    print(
        f"{len(machines)} of 3 configurations ran ({', '.join(machines)}), {len(failures)} failures; "
        f"{time.monotonic() - started:.0f} s, {sum(os.times()[2:4]):.0f} s of processor time"
    )
    return int(bool(failures) or (every and len(machines) < 3))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("noise", nargs="?", type=int, default=0, help="another integer makes another inaccurate libm")
    parser.add_argument("--from", dest="source", help="records of a complete run of the theory files on this machine")
    parser.add_argument("--all", action="store_true", help="fail where one of the three machines cannot be made")
    given = parser.parse_args()
    sys.exit(main(noise=given.noise, every=given.all, source=given.source))
