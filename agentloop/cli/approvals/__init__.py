"""Approvals on the command line.

- `approver`: decides on a call, by `--yes` patterns first and then by asking.
- `dialog`: asks a person at the terminal.
"""
