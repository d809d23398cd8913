"""What a user did that cannot work: one line, shown without a traceback."""


class UserError(Exception):
    """One line: what was expected, what was found, what to do. The command line prints it and exits with 2.

    >>> NLA.from_pretrained("no/such/folder/at/all")
    Traceback (most recent call last):
    ...
    thinkaloud.errors.UserError: ...
    """
