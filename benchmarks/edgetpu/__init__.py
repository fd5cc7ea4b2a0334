"""How well the latency estimate agrees with what was published and measured; see benchmarks/README.md."""
