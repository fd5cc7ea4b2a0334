"""`python -m coralsmith` is the command line."""

from coralsmith.cli import main

main()
