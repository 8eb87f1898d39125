"""The message broker, sans-I/O: bytes and the time in, bytes and closes out."""
