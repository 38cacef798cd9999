"""Host: this machine, as the rest of the library may see it: processes, their identity, and the paths of a work tree.

Knows processes, bytes and paths; never a lock, a message or a record of the store.
"""
