"""The ways into the stand-in, all on one TLS port.

`listener` accepts and `arrival` finds out who speaks what: MQTT goes to `mqtt_link`, HTTP to
`http_entry` and from there to `websocket`, `https_publish`, or whoever serves the path. All MQTT
connections meet the broker in `links`.
"""
