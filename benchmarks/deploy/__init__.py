"""What is bundled for devices, as their hosts read it."""
