"""The scripts that Blender runs; they alone import ``bpy``, which is GPL, and nothing imports them."""
