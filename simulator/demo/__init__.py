"""The whole system on one machine: a MORAI car, the agent, IoT Core and an application."""
