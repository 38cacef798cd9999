"""A file per verb: what it takes, what it calls, how it words the answer."""
