"""What a card does for this server, in five minutes and without network: ``python -m benchmarks.cuda``.

In parts that need as little as they can: most of them torch, NumPy and safetensors alone.
"""
