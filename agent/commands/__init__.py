"""Commands from the cloud to the car: checked, executed at most once, and never left unattended."""
