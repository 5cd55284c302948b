"""The report: what the audit found, as one page to read."""
