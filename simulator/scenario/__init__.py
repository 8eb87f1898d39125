"""Scenario files: what a load test is made of, when each part of it happens, and who takes part.

Pure but for `loader`, which reads the file. Nothing here knows about MQTT connections or reports.
"""
