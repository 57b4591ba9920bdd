"""One call: speech in, the timeline, the frames that are decided, and who receives them."""
