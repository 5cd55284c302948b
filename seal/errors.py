"""The one kind of error that is the user's to mend."""


class InputError(Exception):
    """A mistake in what the user gave: a file, a row, a parameter, a model.

    Its message is one line that names what was given, what was found, what was expected and what to do next;
    stages print it without a traceback and exit with status 1.
    """
