"""The edge agent that joins a car simulated by MORAI SIM: Drive to AWS IoT Core."""
