"""``lipstream weights check``: a sheet on which one sees whether a weights file suits an avatar."""
