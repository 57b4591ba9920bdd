"""Built-in people as path-traced stills: arrays by NumPy, pictures by Blender's Cycles, clips by the product.

Every module here but those of `training.pathtraced.blender` is plain array code that needs NumPy, SciPy and OpenCV.
Blender (GPL) is a tool that only draws: no part of it is in the pictures, and no other module imports it.
"""
