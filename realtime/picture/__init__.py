"""What a picture is made of: colour planes, the painted mouth, the watermark, what files say about themselves."""
