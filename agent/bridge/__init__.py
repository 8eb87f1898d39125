"""The bridge: simulator datagrams up to the broker, commands down to the simulator.

`uplink` and `downlink` decide, `runtime` owns the event loop, the sockets and the clocks.
"""
