"""What survives a restart of the stand-in when it is given a data directory.

`records` says how things look on disk, `mirror` finds out what changed since the last save,
`restoring` puts everything back, `directory` is the SQLite file, and `keeping` runs it all beside
the event loop.
"""
