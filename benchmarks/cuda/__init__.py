"""Measures a CUDA card for this server, in five minutes and without network: ``python -m benchmarks.cuda``.

The parts need few packages: most of them only torch, NumPy and safetensors.
"""
