"""Patches of aiortc and aioice: the only folder that touches their private names (see ``private_names``)."""
