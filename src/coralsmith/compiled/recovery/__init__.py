"""A model back out of compiled files: the topology is assumed, all else is read, and the whole is proved."""
