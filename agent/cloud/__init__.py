"""The agent's side of AWS IoT Core: topics, the MQTT session, and what may wait for it."""
