"""How well int8 detectors detect: the ledger, post-training methods, tuning; see benchmarks/README.md."""
