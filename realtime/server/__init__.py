"""What one server holds: its sessions, its avatars, and how much load it takes."""
