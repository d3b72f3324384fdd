#!/usr/bin/env python3
"""The alpha-beta model of a step on many ranks: tables for docs/distributed.md, and its picture.

    build/bench/bench/scaling > counts.txt
    python3 bench/scaling.py counts.txt --picture docs/distributed.svg

counts.txt says what fit sends and computes at each number of ranks. The other constants are options.
"""
import argparse
import re

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("counts")
parser.add_argument("--alpha", type=float, default=80.0, help="microseconds of a message over TCP")
parser.add_argument("--rate", type=float, default=960.0, help="GFLOP/s of a rank in a training step")
parser.add_argument("--tokens", type=float, default=4096, help="tokens of a rank in a step")
parser.add_argument("--threads", type=float, default=4, help="speed-up of updates and additions by a rank's threads")
parser.add_argument("--picture", help="file for the picture")
args = parser.parse_args()

text = open(args.counts).read()
counts = {}
for line in re.findall(r"^ranks (.*)$", text, re.M):
    ranks, *rest = line.split()
    counts[int(ranks)] = {key: float(value) for key, value in zip(rest[::2], rest[1::2])}
local = {key: float(value) for key, value in re.findall(r"(add|packing|update|arrays) ([0-9.]+)", text)}
base = counts[min(counts)]["ms"]

MODELS = {"9 M": 9e6, "60 M": 60e6, "1 B": 1e9}
# Shares of the weights: of the array whose gradient is complete last, the embeddings of 8000 tokens of width 256, or
# 32000 of 512 or 2048; and of arrays that are packed, because they have less than 262,144 elements.
LAST = {9e6: 0.23, 60e6: 0.27, 1e9: 0.07}
SMALL = {9e6: 0.25, 60e6: 0, 1e9: 0}
NETS = {"10 GbE": 1.1e9, "25 GbE": 2.8e9, "100 Gbit/s": 11e9, "400 Gbit/s": 44e9}
RANKS = [2, 8, 64, 256, 1024, 4096]


def step(n, ranks, bandwidth, overlap=True, segments=False):
    """Returns the seconds of a step, and what it is without a team."""
    c = counts[ranks]
    compute = 6 * n * args.tokens / (args.rate * 1e9)
    update = local["update"] * n * 1e-9 / args.threads
    share = 1 / ranks if segments else 1
    gradients = c["bytes_by_weight"] * n / bandwidth + local["add"] * n * (ranks - 1) / ranks * 1e-9 / args.threads
    beside = c["exchanges"] * args.alpha * 1e-6 + c["bytes_beside"] / bandwidth + max(0, c["ms"] - base) * 1e-3
    packing = (local["packing"] * SMALL[n] + local["arrays"] * (1 - SMALL[n])) * n * 1e-9
    behind = gradients / 2 if segments else gradients  # the backward
    if overlap:
        gradients -= behind - max(behind - compute * 2 / 3, behind * LAST[n])
    return compute + gradients + beside + packing + update * share, compute + update


WAYS = [("as built", {}), ("without overlap", {"overlap": False}), ("segmented update", {"segments": True})]


def number(seconds):
    ms = 1e3 * seconds
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}"


def tables():
    for model, n in MODELS.items():
        alone = step(n, 2, 1e9)[1]
        print(f"\n{model} weights; {number(alone)} ms without a team:\n")
        print("| network | way | " + " | ".join(f"{r} ranks" for r in RANKS) + " |")
        print("|---|---|" + "---|" * len(RANKS))
        for net, bandwidth in NETS.items():
            for way, options in WAYS:
                cells = []
                for ranks in RANKS:
                    seconds, without = step(n, ranks, bandwidth, **options)
                    cells.append(f"{number(seconds)} ({100 * without / seconds:.0f} %)")
                print(f"| {net} | {way} | " + " | ".join(cells) + " |")


def picture(path):
    """Draws the efficiency over the ranks: a panel for each model, a line for each network."""
    width, height, left, top = 300, 220, 50, 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 3 * (width + 30)}" height="{top + height + 90}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    colours = ["#b2182b", "#ef8a62", "#67a9cf", "#2166ac"]
    ranks = sorted(r for r in counts if r & (r - 1) == 0)
    for column, (model, n) in enumerate(MODELS.items()):
        x0 = left + column * (width + 30)
        x = lambda r: x0 + width * (r.bit_length() - 2) / 11
        y = lambda e: top + height * (1 - e)
        out.append(f'<text x="{x0 + width / 2}" y="{top - 14}" text-anchor="middle">{model} weights</text>')
        for tick in range(0, 101, 20):
            out.append(f'<line x1="{x0}" x2="{x0 + width}" y1="{y(tick / 100)}" y2="{y(tick / 100)}" stroke="#ddd"/>')
            if column == 0:
                out.append(f'<text x="{x0 - 6}" y="{y(tick / 100) + 4}" text-anchor="end">{tick} %</text>')
        for r in ranks:
            out.append(f'<text x="{x(r)}" y="{top + height + 16}" text-anchor="middle" font-size="10">{r}</text>')
        for colour, (net, bandwidth) in zip(colours, NETS.items()):
            for dash, options in (("", {}), ("4 3", {"overlap": False})):
                points = []
                for r in ranks:
                    seconds, without = step(n, r, bandwidth, **options)
                    points.append(f"{x(r):.1f},{y(without / seconds):.1f}")
                out.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2" '
                           f'stroke-dasharray="{dash}"/>')
    at = left
    for colour, net in zip(colours, NETS):
        out.append(f'<line x1="{at}" x2="{at + 24}" y1="{top + height + 44}" y2="{top + height + 44}" stroke="{colour}" '
                   f'stroke-width="2"/><text x="{at + 30}" y="{top + height + 48}">{net}</text>')
        at += 120
    out.append(f'<text x="{left}" y="{top + height + 72}">Efficiency over the number of ranks. Solid: as built. Dashed: '
               'without overlap.</text></svg>')
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")


tables()
if args.picture:
    picture(args.picture)
