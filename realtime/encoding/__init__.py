"""Speech and pictures of a session, paced and encoded once for all who receive them."""
