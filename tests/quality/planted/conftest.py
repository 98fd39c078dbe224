"""Prints the scores of the planted errors and of the mutants at the end of a run."""

#: test file -> what its errors are called
TITLES = {"test_planted.py": "planted errors", "test_scaled_bounds.py": "values of statements 5 % off"}


def pytest_terminal_summary(terminalreporter):
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind) if r.when == "call"]
    for file, title in TITLES.items():
        found = [r for r in reports if f"{file}::test_error_is_caught" in r.nodeid]
        if found:
            caught = sum(r.passed for r in found)
            terminalreporter.write_line(f"{title}: {caught} of {len(found)} caught ({100 * caught / len(found):.1f} %)")
    for r in reports:
        for name, value in r.user_properties:
            if name == "mutation score":
                terminalreporter.write_line(value)
