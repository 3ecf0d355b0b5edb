"""How fast and with how much energy events are made."""
