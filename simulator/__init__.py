"""Stand-ins for MORAI SIM and AWS IoT Core, and the vehicle fleet that loads them."""
