"""Stand-in for the AWS IoT Core data plane: MQTT 5 over mutual TLS with IoT policies.

`broker.Broker` is the sans-I/O core (bytes and the time in, bytes and closes out);
`server.CoreServer` is the asyncio and TLS shell around it. What the stand-in does on each
violation follows the AWS IoT Core developer guide ("MQTT", "MQTT 5 supported features"); where
the guide is silent the choice is named in the docstring of the code that makes it.
"""
