"""Prints the table of figures at the end of a run with `-m torture`."""

from __future__ import annotations

import pytest

from tests.torture.journal import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("markexpr") == "torture":
        terminalreporter.section("torture: all that was tried so far")
        for line in table():
            terminalreporter.write_line(line)
