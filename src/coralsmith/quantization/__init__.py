"""From a float graph and images to a full-integer graph: observe ranges, solve scales, materialise int8."""
