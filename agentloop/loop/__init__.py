"""What a run does next, decided without doing it: no network, clock, thread or log.

`advance` is the loop, `run` the values it goes by, `guard` what becomes of each tool call, `trim` how a conversation is
made shorter.
"""
