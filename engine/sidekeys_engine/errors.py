"""The one error that a user's mistake becomes."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line for a musician: what is wrong, and what to do next. The command line
    prints it and exits with status 2; rooms with errors of their own (audio, checkpoints) derive
    from it.
    """
