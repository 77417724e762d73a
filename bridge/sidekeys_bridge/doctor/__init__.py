"""What is missing on this machine, and the one line that mends it: `sidekeys doctor`.

Every room looks at one subject in two steps: a thin probe gathers facts, and a pure function says
what they mean on a machine of a kind. Nothing here changes anything.
"""
