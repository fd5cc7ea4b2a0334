"""Measures the host part of a detector on one core; see benchmarks/README.md.

python -m benchmarks.host [--model INT8.tflite]
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy asks how many cores there are

if __name__ == "__main__":
    from benchmarks.host.measure import main

    main()
