"""The process between the host and a command: starts the command in the sandbox, enforces its limits, and ends it.

It is a separate program. It reads one line of JSON, the spec, and writes one line of JSON, the report. When its
standard input is closed, because the call was cancelled or the host has died, it ends the command. At its end no
process that the command started is left. It is two processes, so that a command that kills one is ended by the other.

- `program`: the program.
- `sandboxes`: starts the command.
- `processes`: finds and ends the processes that it started.
"""
