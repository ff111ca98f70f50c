"""The report as JSON: everything, in the form `Report.from_json` reads back."""

from stepzero.core.outcome import Report


def render(report: Report) -> str:
    """Return the whole report as one JSON document that ends in a newline."""
    return report.to_json() + "\n"
