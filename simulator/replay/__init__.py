"""Recorded drives: the recording as numpy arrays, its MCAP file, and converters into it."""
