"""One MQTT connection of a fleet: its socket, its TLS identity, its protocol, its return."""
