"""Prints the score of the planted errors at the end of a run."""


def pytest_terminal_summary(terminalreporter):
    def planted(kind):
        return sum(1 for r in terminalreporter.getreports(kind) if "test_error_is_caught" in r.nodeid and r.when == "call")

    caught, missed = planted("passed"), planted("failed")
    if caught + missed:
        total = caught + missed
        terminalreporter.write_line(f"planted errors: {caught} of {total} caught ({100 * caught / total:.1f} %)")
