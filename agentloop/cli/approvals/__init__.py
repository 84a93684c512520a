"""Approvals on the command line: `approver` goes by `--yes` and by answers, `dialog` asks a person at the terminal."""
