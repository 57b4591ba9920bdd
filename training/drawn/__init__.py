"""The drawn avatar: curves and coverage by NumPy and OpenCV, sharp at any size."""
