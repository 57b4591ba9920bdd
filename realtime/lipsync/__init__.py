"""The lip-sync network and its back ends. Knows mel windows and face crops, but no avatar."""
