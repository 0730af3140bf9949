#!/usr/bin/env python3
"""Writes `flights.columns.gz`, which the example ships, from a CSV of the same rows.

    encode.py flights.csv.gz flights.columns.gz

The rows are all 336,776 flights that left New York's three airports in 2013, in order of scheduled
departure. Source: US Bureau of Transportation Statistics, as collected in the package nycflights13
(https://github.com/tidyverse/nycflights13), which is CC0.

The file is gzip around: the number of rows (4 bytes, all integers little-endian), then the columns
in the CSV's order. A column of texts is its number of distinct values (2 bytes), those values, each
with a newline after it, and then their indexes as numbers. Numbers are signed and of 16 bits: first
the low bytes of all rows, then the high bytes (apart they pack better). -32768 is an empty field.
"""
import csv
import gzip
import sys

TEXTS = ("date", "carrier", "tailnum", "origin", "dest")
COLUMNS = ("date", "sched_dep", "dep_delay", "arr_delay", "carrier", "flight", "tailnum", "origin",
           "dest", "air_time", "distance")
EMPTY = -32768


def numbers(values):
    values = [value & 0xFFFF for value in values]
    return bytes(value & 0xFF for value in values) + bytes(value >> 8 for value in values)


def texts(values):
    distinct = sorted(set(values))
    index = {value: at for at, value in enumerate(distinct)}
    names = "".join(value + "\n" for value in distinct).encode()
    return len(distinct).to_bytes(2, "little") + names + numbers(index[value] for value in values)


def main(source, target):
    with gzip.open(source, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    out = len(rows).to_bytes(4, "little")
    for column in COLUMNS:
        values = [row[column] for row in rows]
        if column in TEXTS:
            out += texts(values)
        else:
            out += numbers(int(value) if value else EMPTY for value in values)
    with open(target, "wb") as file:
        # No time stamp: the same rows give the same file.
        file.write(gzip.compress(out, 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
