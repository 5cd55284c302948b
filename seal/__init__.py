"""What the stages share: pure parts of the audit. No command line, no DVC and no fixed path in here."""
