#!/usr/bin/env python3
"""Counts the flights without Fastness and prints what `telemetry --json` must print.

    expected.py [FILE [ROWS]]

FILE is the shipped `flights.columns.gz` (the default) or a CSV of the same rows (`*.csv.gz`). With
ROWS, only that many of the first ones count. `expected.json` is its output for all rows.
"""
import collections
import csv
import gzip
import json
import pathlib
import struct
import sys

TEXTS = ("date", "carrier", "tailnum", "origin", "dest")
COLUMNS = ("date", "sched_dep", "dep_delay", "arr_delay", "carrier", "flight", "tailnum", "origin",
           "dest", "air_time", "distance")


def csv_rows(path):
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


def shipped_rows(path):
    """Reads the format that `encode.py` describes; every field is a text, as in the CSV."""
    with gzip.open(path) as file:
        rows, = struct.unpack("<I", file.read(4))
        columns = []
        for column in COLUMNS:
            names = None
            if column in TEXTS:
                count, = struct.unpack("<H", file.read(2))
                names = [file.readline().decode().rstrip("\n") for _ in range(count)]
            pairs = zip(file.read(rows), file.read(rows), strict=True)
            values = [low + 256 * high for low, high in pairs]
            if names:
                columns.append([names[value] for value in values])
            else:
                signed = (value - 65536 * (value >= 32768) for value in values)
                width = "04" if column == "sched_dep" else ""
                columns.append(["" if value == -32768 else format(value, width) for value in signed])
        assert not file.read(1), "bytes follow the last column"
    for fields in zip(*columns, strict=True):
        yield dict(zip(COLUMNS, fields, strict=True))


def first(counts):
    """The name with the highest count; of several, the first in the alphabet."""
    return min(counts, key=lambda name: (-counts[name], name))


def main(path, limit):
    rows = list(csv_rows(path) if ".csv" in path.name else shipped_rows(path))[:limit]
    aircraft = collections.Counter(row["tailnum"] for row in rows if row["tailnum"])
    airports = collections.Counter(row[end] for row in rows for end in ("origin", "dest"))

    def total(column):
        return sum(int(row[column]) for row in rows if row[column])

    print(json.dumps({
        "flights": len(rows),
        "cancelled": sum(not row["dep_delay"] for row in rows),
        "aircraft": len(aircraft),
        "routes": len({(row["origin"], row["dest"]) for row in rows}),
        "airports": len(airports),
        "carriers": len({row["carrier"] for row in rows}),
        "arrival_delay_minutes": total("arr_delay"),
        "air_time_minutes": total("air_time"),
        "distance_miles": total("distance"),
        "busiest_airport": first(airports),
        "most_flown_aircraft": first(aircraft),
    }))


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "flights.columns.gz",
         int(sys.argv[2]) if len(sys.argv) > 2 else None)
