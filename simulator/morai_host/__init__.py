"""A stand-in for MORAI SIM: Drive: the same bytes on the same ports, and a car that obeys.

`Host` is the core without sockets and clock, `HostServer` runs it on UDP.
"""
