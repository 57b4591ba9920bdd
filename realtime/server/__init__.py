"""The state of one server: its sessions, its avatars, and its limits of load."""
