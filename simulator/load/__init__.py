"""The load engine: many MQTT connections, paced by the clock alone, and what they measure."""
