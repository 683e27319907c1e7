"""The commands on photographs."""
