"""The report as one page: tables, figures and pictures of several models in one HTML file."""

from stellar.evaluation.report.page.document import render_page, write_report

__all__ = ["render_page", "write_report"]
