"""The one status that both the compiler's logs and our predictions are counted by."""

from typing import Final

MAPPED: Final = "Mapped to Edge TPU"
