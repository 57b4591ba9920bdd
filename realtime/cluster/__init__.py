"""More than one machine: places sessions on workers, which are servers, and forwards what concerns them."""
