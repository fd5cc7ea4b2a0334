"""How well the latency estimate agrees with published and measured latencies; see benchmarks/README.md.

python -m benchmarks.edgetpu.latency            print the tables
python -m benchmarks.edgetpu.latency --fit      fit and write the constants and the tables of docs/latency.md first
python -m benchmarks.edgetpu.latency --rebuild  make models.json again (needs the extra tensorflow, ten minutes)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.edgetpu.fit import fit_document, read
from benchmarks.edgetpu.rebuild import load_models, rebuild
from benchmarks.edgetpu.tables import Table, bus_table, filled, programs_table, sweeps_table
from benchmarks.quantize.table import print_table
from coralsmith.edgetpu.latency_constants import BUSES, constants

ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = ROOT / "src" / "coralsmith" / "edgetpu" / "latency.json"
PAGE = ROOT / "docs" / "latency.md"


def main() -> None:
    arguments = _arguments()
    if arguments.rebuild:
        rebuild(arguments.shared, arguments.only)
        load_models.cache_clear()
        read.cache_clear()
    if arguments.fit:
        CONSTANTS.write_text(json.dumps(fit_document(), indent=1) + "\n", "utf-8")
        constants.cache_clear()
        bus_table.cache_clear()
        PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    for table in (programs_table(), *map(bus_table, BUSES)):
        _print(table)
    if (arguments.shared / "edgetpu" / "latency").is_dir():
        _print(sweeps_table(arguments.shared))
    else:
        print(f"No sweeps: {arguments.shared} is not there.")


def _print(table: Table) -> None:
    print_table(table.title, table.header, table.rows)
    for remark in table.remarks:
        print(remark)


def _arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edgetpu.latency", description=summary)
    parser.add_argument("--rebuild", action="store_true", help="make models.json again")
    parser.add_argument("--only", help="rebuild only models whose name holds this")
    parser.add_argument("--fit", action="store_true", help="fit the constants again and write them")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="models and data")
    return parser.parse_args()


if __name__ == "__main__":
    main()
