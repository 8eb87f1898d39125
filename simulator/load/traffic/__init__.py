"""What flows in a run, as pure arithmetic: when it is due, what it says, and what arrived."""
