"""The services of AWS IoT Core behind reserved topics: shadows, jobs, provisioning, commands.

Pure: no event loop, socket, clock, log or random source. Time and new ids come in as arguments.
"""
