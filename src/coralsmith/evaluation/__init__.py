"""How well a detector finds what it should: annotated data sets, average precision and its uncertainty."""
