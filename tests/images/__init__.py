"""The container files, run without a container engine."""
