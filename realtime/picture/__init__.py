"""Parts of a picture: colour planes, the painted mouth, the watermark, and the provenance written into files."""
