"""The errors that a user's mistakes become."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line for a musician: what is wrong, and what to do next. The command line
    prints it and exits with status 2; rooms with errors of their own (audio, checkpoints) derive
    from it.
    """


class AudioError(InputError):
    """Sound that cannot be used; the message says in one line why, and what to do."""
