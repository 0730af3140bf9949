#!/usr/bin/env python3
"""Counts the purchases without Fastness and prints what `shopping_cart --json` must print.

    expected.py [FILE]

FILE is the shipped `purchases.csv.gz` (the default) or another of the same form. `expected.json` is
its output for the shipped file.
"""
import collections
import csv
import datetime
import gzip
import json
import pathlib
import sys


def main(path):
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    dates, cents = collections.defaultdict(list), collections.Counter()
    for row in rows:
        dates[row["customer"]].append(datetime.date.fromisoformat(row["date"]))
        cents[row["customer"]] += int(row["cents"])
    gaps = [(later - earlier).days
            for days in dates.values() for earlier, later in zip(days, days[1:])]
    today = max(days[-1] for days in dates.values())
    best = min(cents, key=lambda customer: (-cents[customer], customer))
    print(json.dumps({
        "customers": len(dates),
        "repeat_customers": sum(len(days) > 1 for days in dates.values()),
        "lapsed_customers": sum((today - days[-1]).days > 180 for days in dates.values()),
        "best_customer": int(best),
        "best_customer_cents": cents[best],
        "purchases": len(rows),
        "quantity": sum(int(row["quantity"]) for row in rows),
        "cents": sum(cents.values()),
        "mean_basket_cents": sum(cents.values()) / len(rows),
        "mean_gap_days": sum(gaps) / len(gaps),
    }, sort_keys=True))


if __name__ == "__main__":
    shipped = pathlib.Path(__file__).parent / "purchases.csv.gz"
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else shipped)
