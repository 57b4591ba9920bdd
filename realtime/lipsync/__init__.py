"""The lip-sync network and its back ends. The package knows mel windows and face crops, but no avatars."""
