"""What is claimed about compiled files, measured on published pairs."""
