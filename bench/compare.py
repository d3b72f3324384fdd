#!/usr/bin/env python3
"""Training steps of xtape, PyTorch and JAX, side by side: forward, backward and Adam in float32 on one and on two
threads. All do the same rows (bench/shapes.txt) from the same weights; their losses are compared first. Runs
alternate, and medians of runs count, of the time and of the processor time of a step. A peer's time is that of its
fastest formulation. On two threads one thread counts too where it is faster.

    cmake --preset bench && cmake --build --preset bench
    python3 bench/compare.py --json table.json

Needs NumPy, and PyTorch or JAX or both, for this script's Python or for the one given by --python. A peer that is not
installed is left out, and the rows say so. --memory and --busy measure xtape alone."""

import argparse
import json
import math
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from peers import HERE, NAMES, Peer, Worker

FAR_APART_NS = 200  # for a word to the other core and back; cores that share a cache take about 120
WIDE = 512  # rows of this width have a goal of their own
MEASURES = {"": "ms", "processor_": "processor ms"}  # prefixes of the keys of an answer, and the heads of columns


def read_rows(path):
    lines = (line.strip() for line in pathlib.Path(path).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def name_of(row):
    kind, *extents = row.split()
    return f"{kind}/{'x'.join(extents)}"


def width_and_length(row):
    kind, *extents = row.split()
    return (int(extents[1]), None) if kind == "encoder_decoder" else (int(extents[2]), int(extents[1]))


def least_ratio(row, module, sgemm, rate):
    """Returns the goal for a row's ratio to a peer of this rate. It is lower where PyTorch itself is near the limit."""
    width = width_and_length(row)[0]
    if width >= WIDE:
        return 1.1
    if module != "torch":
        return 1
    return max(1, min(5, 0.5 * sgemm / rate) if width <= 64 else min(1.2, 0.8 * sgemm / rate))


def least_percent(row):
    """Returns the goal for a row's percentage of sgemm, or 0."""
    kind = row.split()[0]
    width, length = width_and_length(row)
    if kind == "encoder_decoder":
        return 70 if width >= 256 else 0
    if length >= 512:
        return 55 if kind == "dropout" else 65
    return 60 if width >= 128 and length >= 64 else 0


def first_number(values):
    return min((v for v in values if v is not None), default=None)


class Comparison:
    def __init__(self, options):
        self.options = options
        self.typical = min if options.best else statistics.median
        self.directory = tempfile.TemporaryDirectory()
        limit = int(options.memory_limit * 2**30)
        products = {"XTAPE_PRODUCTS": "bfloat16"} if options.bfloat16 else {}
        self.xtape = Worker([options.program, "--serve"], env=os.environ | products,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.peers = [Peer(module, options) for module in NAMES if not getattr(options, f"no_{module}")]

    def set_up(self, row):
        """Makes the work of a row. Returns xtape's answer, the peers' works as (peer, variant, threads), and notes."""
        made = self.xtape.ask("row", row)
        weights = os.path.join(self.directory.name, "weights.npz")
        saved = self.xtape.ask("save", weights) if "error" not in made else {}
        losses = self.xtape.ask("losses", 3)
        if error := made.get("error") or saved.get("error") or losses.get("error"):
            return made, [], [f"xtape: {error}"]
        works, remarks = [], []
        for peer in self.peers:
            pairs, notes = peer.set_up(row, weights, made["parameters"], losses["losses"])
            works += [(peer, *pair) for pair in pairs]
            remarks += notes
        return made, works, remarks

    def measure(self, row):
        """Returns xtape's answer about a row, answers by threads, those of peers by work, and notes."""
        made, works, remarks = self.set_up(row)
        ours = {1: [], 2: []}
        theirs = {work: [] for work in works}
        start = time.monotonic()
        for done in range(self.options.rounds):
            if done >= 3 and time.monotonic() - start > 60:
                break  # steps that take seconds vary little
            for threads in (1, 2):
                if "flops" in made:
                    ours[threads].append(self.xtape.ask("run", threads, self.options.seconds))
                for work, answers in theirs.items():
                    if work[2] == threads:
                        answers.append(work[0].run(*work[1:], self.options.seconds))
            for answers in [*ours.values(), *theirs.values()]:
                if answers and "error" in answers[-1]:
                    remarks.append(answers[-1]["error"])
        return made, ours, theirs, remarks

    def typical_of(self, answers, key):
        values = [a[key] for a in answers if key in a]
        return self.typical(values) if values else None

    def run(self, row):
        made, ours, theirs, remarks = self.measure(row)
        records = []
        for threads in (1, 2):
            good = [a for a in ours[threads] if "ms" in a]
            ms = self.typical_of(good, "ms")
            sgemm = max((a["sgemm"] for a in ours[1] + ours[2] if "sgemm" in a), default=0) * threads
            apart = []
            record = {
                "name": name_of(row), "threads": threads, "xtape_ms": ms,
                "xtape_processor_ms": self.typical_of(good, "processor_ms"),
                "gflops": made["flops"] / ms * 1e-6 if ms else None,
                "percent_of_sgemm": made["flops"] / ms * 1e5 / sgemm if ms else None,
                # The first round may still be warming up.
                "system_allocations": max((a["system_allocations"] for a in good[1:]), default=None),
                "peak_bytes": max((a["peak_bytes"] for a in good), default=None),
            }
            self.add_peers(record, theirs)
            if trips := [a["round_trip_ns"] for a in good if "round_trip_ns" in a]:
                record["round_trip_ns"] = statistics.median(trips)
                if record["round_trip_ns"] > FAR_APART_NS:
                    apart.append(f"cores far apart: {record['round_trip_ns']:.0f} ns")
            if remarks or apart:
                record["remarks"] = sorted(set(remarks)) + apart
            records.append(record)
            self.misses(row, record, sgemm, made.get("flops"), records)
        return records

    def add_peers(self, record, theirs):
        """Adds each peer's times, and their ratios to xtape's. Two threads' time may be that of one, but not their
        processor time."""
        threads = record["threads"]
        for peer in self.peers:
            mine = {work[1:]: answers for work, answers in theirs.items() if work[0] is peer}
            usual = {pair: answers for pair, answers in mine.items() if not pair[0].endswith("+compile")}
            for prefix in MEASURES:
                times = first_number(self.typical_of(answers, prefix + "ms") for pair, answers in usual.items()
                                     if pair[1] == threads or (pair[1] < threads and not prefix))
                own = record[f"xtape_{prefix}ms"]
                record[f"{peer.module}_{prefix}ms"] = times
                record[f"{peer.module}_{prefix}ratio"] = times / own if times and own else None
            if compiled := [answers for pair, answers in mine.items() if pair not in usual and pair[1] == threads]:
                record[f"{peer.module}_compile_ms"] = self.typical_of(compiled[0], "ms")

    def misses(self, row, record, sgemm, flops, records):
        """Adds a note for each goal that a record misses. Processor time has goals on one thread, because threads
        that wait may take it."""
        missed = []
        for peer in self.peers:
            if ratio := record[f"{peer.module}_ratio"]:
                need = least_ratio(row, peer.module, sgemm, flops / record[f"{peer.module}_ms"] * 1e3)
                if ratio < need:
                    missed.append(f"{peer.name} ratio < {need:.2f}")
            need = 1.1 if width_and_length(row)[0] >= WIDE else 1
            ratio = record[f"{peer.module}_processor_ratio"]
            if record["threads"] == 1 and ratio and ratio < need:
                missed.append(f"{peer.name} processor ratio < {need:.2f}")
        if record["percent_of_sgemm"] and record["percent_of_sgemm"] < least_percent(row):
            missed.append(f"sgemm < {least_percent(row)} %")
        if record["threads"] == 2 and width_and_length(row)[0] >= 128 and record["xtape_ms"]:
            if records[0]["xtape_ms"] and records[0]["xtape_ms"] / record["xtape_ms"] < 1.7:
                missed.append("two threads < 1.7")
        if record["system_allocations"]:
            missed.append("allocations > 0")
        record["missed"] = missed

    def memory(self):
        """Prints the peak memory of causal self-attention, and its growth with the length."""
        peaks = {}
        for length in (8192, 16384):
            made = self.xtape.ask("row", "causal", 1, length, 256, 8)
            answers = [self.xtape.ask("run", 2, 0) for _ in range(2)] if "error" not in made else [made]
            for answer in answers:
                if "error" in answer:
                    print(f"length {length}: {answer['error']}")
            if all("peak_bytes" in a for a in answers):
                peaks[length] = max(a["peak_bytes"] for a in answers)
                print(f"length {length}: peak {peaks[length] / 2**20:.1f} MiB")
        if len(peaks) == 2:
            print(f"peak(16384) / peak(8192) = {peaks[16384] / peaks[8192]:.2f} (goal: <= 2.1, and <= 128 MiB)")

    def busy(self, rows):
        """Prints the speed of two threads over one while a pinned loop holds a processor."""
        loop = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}))
        try:
            for row in rows:
                made = self.xtape.ask("row", row)
                if "error" in made:
                    print(f"{name_of(row)}: {made['error']}")
                    continue
                times = {1: [], 2: []}
                for _ in range(7):
                    for threads in (1, 2):
                        times[threads].append(self.xtape.ask("run", threads, self.options.seconds).get("ms", math.nan))
                ratio = statistics.median(times[1]) / statistics.median(times[2])
                print(f"{name_of(row):40} two threads over one beside a busy loop: {ratio:.2f}"
                      f"{'' if ratio >= 0.9 else '  missed: 0.9'}", flush=True)
        finally:
            loop.send_signal(signal.SIGKILL)
            loop.wait()


def text(value, form):
    return format(value, form) if value is not None else "-"


def columns_of(r, one, peers):
    """Returns the columns of the table as pairs of a head and a cell."""
    speedup = one["xtape_ms"] / r["xtape_ms"] if r["threads"] == 2 and r["xtape_ms"] and one["xtape_ms"] else None
    peak = r["peak_bytes"] / 2**20 if r["peak_bytes"] is not None else None
    notes = "; ".join(["missed: " + ", ".join(r["missed"])] * bool(r["missed"]) + r.get("remarks", []))
    columns = [("row", r["name"]), ("threads", str(r["threads"]))]
    for prefix, head in MEASURES.items():
        columns.append((f"xtape {head}", text(r[f"xtape_{prefix}ms"], ".3f")))
        for peer in peers:
            columns += [(f"{peer.name} {head}", text(r[f"{peer.module}_{prefix}ms"], ".3f")),
                        ("ratio", text(r[f"{peer.module}_{prefix}ratio"], ".2f"))]
    return columns + [("compiled ms", text(r.get("torch_compile_ms"), ".3f")), ("GFLOP/s", text(r["gflops"], ".1f")),
                      ("% of sgemm", text(r["percent_of_sgemm"], ".0f")), ("2 over 1", text(speedup, ".2f")),
                      ("system allocations", text(r["system_allocations"], ".1f")), ("peak MiB", text(peak, ".1f")),
                      ("notes", notes)]


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def print_means(records, peers):
    """Prints the geometric mean and the lowest of each kind of ratio. Returns whether there is any."""
    found = False
    for peer in peers:
        for prefix, head in MEASURES.items():
            key = f"{peer.module}_{prefix}ratio"
            compared = [r for r in records if r[key]]
            if not compared:
                continue
            found = True
            mean = math.exp(statistics.fmean(math.log(r[key]) for r in compared))
            lowest = min(compared, key=lambda r: r[key])
            print(f"{peer.name}, {head}: geometric mean ratio {mean:.2f}, lowest {lowest[key]:.2f} "
                  f"({lowest['name']} on {lowest['threads']} thread{'s' * (lowest['threads'] > 1)})")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/bench/training_step"),
                        help="bench/training_step.cpp, built")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--shapes", default=str(HERE / "shapes.txt"), help="file of rows")
    parser.add_argument("--rows", default="", help="only rows whose name (causal/32x10x32x4) has this pattern")
    parser.add_argument("--json", help="write one record per row and number of threads to this file")
    parser.add_argument("--rounds", type=int, default=7, help="runs per row, formulation and number of threads")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a run, of at least one step")
    parser.add_argument("--quick", action="store_true", help="three rounds of 0.05 seconds")
    parser.add_argument("--best", action="store_true",
                        help="the fastest run counts, not the median: for a machine with other work to do")
    parser.add_argument("--again", type=int, default=0,
                        help="measure a row again, up to so many times, if the cores were far apart meanwhile")
    parser.add_argument("--memory-limit", type=float, default=8, help="GiB that each process may use")
    parser.add_argument("--bfloat16", action="store_true",
                        help="xtape rounds products; PyTorch's best of float32, autocast and \"medium\" counts")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, as a further column")
    for module, name in NAMES.items():
        parser.add_argument(f"--no-{module}", action="store_true", help=f"without {name}")
    parser.add_argument("--memory", action="store_true", help="only the memory of long sequences")
    parser.add_argument("--busy", action="store_true", help="only two threads over one beside a busy loop")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 0.05
    if options.memory or options.busy:
        options.no_torch = options.no_jax = True
    rows = [r for r in read_rows(options.shapes) if re.search(options.rows, name_of(r))]
    comparison = Comparison(options)
    if options.memory:
        return comparison.memory()
    if options.busy:
        return comparison.busy(rows)
    rates = comparison.xtape.ask("rates")
    print(f"One thread, 1024^3: BLAS's sgemm {rates['sgemm'] / 1e9:.0f} GFLOP/s, "
          f"xtape's products {rates['own'] / 1e9:.0f}.")
    peers = comparison.peers
    print("; ".join(p.about() for p in peers) or "no peers", end="\n\n")
    records = []
    for row in rows:
        made = comparison.run(row)
        for attempt in range(options.again):
            if all(r.get("round_trip_ns", 0) <= FAR_APART_NS for r in made):
                break
            time.sleep(5)
            made = comparison.run(row)
            for record in made:
                record["remarks"] = [f"measured again: {attempt + 1}", *record.get("remarks", [])]
        for record in made:
            columns = columns_of(record, made[0], peers)
            if not records and record is made[0]:
                print_row(head for head, _ in columns)
                print("|" + "---|" * len(columns))
            print_row(cell for _, cell in columns)
        records += made
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(records, indent=1) + "\n")
    failed = [r["name"] for r in records if r["xtape_ms"] is None]
    if failed:
        print(f"xtape could not do {', '.join(dict.fromkeys(failed))}")
    if not print_means(records, peers):
        print("nothing to compare")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
