"""A pytest plugin for CI: what skips itself there fails, because whatever it misses must be installed."""

from collections.abc import Generator

import pytest

ALLOWED = ("torch", "NVIDIA")  # may be missing everywhere, and then the reason of the skip names it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure; an expected failure is no skip."""
    reason = str(report.longrepr)
    if report.skipped and not hasattr(report, "wasxfail") and not any(name in reason for name in ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{reason}\nNothing is skipped in CI."
