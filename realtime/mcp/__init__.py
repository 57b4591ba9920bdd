"""Tools of a session for a language model, by the Model Context Protocol."""
