"""The bridge: simulator datagrams up to the broker, commands down to the simulator.

`uplink` and `vitals` decide and compose, `assembly` reads the configuration, `runtime` owns the
event loop, the sockets and the clocks, and `daemon` the process around them.
"""
