#!/usr/bin/env python3
"""Training steps of xtape and of PyTorch, side by side: forward, backward and Adam in float32 on one and on two
threads. Both do the same rows (bench/shapes.txt) from the same weights; their losses are compared first. Runs
alternate, and medians of runs count. PyTorch's time is that of its faster formulation. On two threads one thread
counts too where it is faster.

    cmake --preset bench && cmake --build --preset bench
    python3 bench/compare.py --json table.json

Needs PyTorch and NumPy, for this script's Python or for the one given by --python. --memory and --busy measure
xtape alone."""

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

HERE = pathlib.Path(__file__).resolve().parent
FAR_APART_NS = 200  # for a word to the other core and back; cores that share a cache take about 120


class Worker:
    """A long-lived process that answers lines of text with lines of JSON."""

    def __init__(self, command, **options):
        self.command, self.options = command, options
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        **self.options)

    def ask(self, *words):
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:  # most likely killed by the memory limit
            self.close()
            self.start()
            return {"error": f"the process ended ({self.ended})"}
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.ended = self.process.wait()


def read_rows(path):
    lines = (line.strip() for line in pathlib.Path(path).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def name_of(row):
    kind, *extents = row.split()
    return f"{kind}/{'x'.join(extents)}"


def width_and_length(row):
    kind, *extents = row.split()
    return (int(extents[1]), None) if kind == "encoder_decoder" else (int(extents[2]), int(extents[1]))


def least_ratio(row, sgemm, torch_rate):
    """Returns the goal for a row's ratio. It is lower where PyTorch itself is near the limit."""
    quotient = sgemm / torch_rate
    return min(5, 0.5 * quotient) if width_and_length(row)[0] <= 64 else min(1.2, 0.8 * quotient)


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
        self.xtape = Worker([options.program, "--serve"],
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.variants = [] if options.no_torch else ["module", "sdpa"]
        if options.compile and self.variants:
            self.variants.append("sdpa+compile")
        self.torch = None
        if self.variants:
            self.torch = Worker([options.python, str(HERE / "torch_steps.py"), str(options.memory_limit)])

    def set_up(self, row):
        """Makes both sides' work for a row. Returns xtape's answer, PyTorch's variants that work, and notes."""
        made = self.xtape.ask("row", row)
        remarks = []
        variants = []
        weights = os.path.join(self.directory.name, "weights.npz")
        saved = self.xtape.ask("save", weights) if "error" not in made else {}
        losses = self.xtape.ask("losses", 3)
        if error := made.get("error") or saved.get("error") or losses.get("error"):
            return made, [], [f"xtape: {error}"]
        if self.torch:
            self.torch.ask("clear")
        for variant in self.variants:
            answer = self.torch.ask("row", variant, weights, row)
            if "error" not in answer:
                answer |= self.torch.ask("losses", variant, 3)
            if "error" in answer:
                remarks.append(f"PyTorch {variant}: {answer['error']}")
                continue
            if answer["parameters"] != made["parameters"]:
                raise SystemExit(f"{row}: {variant} has {answer['parameters']} weights, not {made['parameters']}")
            if not row.startswith("dropout"):
                self.check_losses(row, variant, losses["losses"], answer["losses"])
            variants.append(variant)
        return made, variants, remarks

    @staticmethod
    def check_losses(row, variant, ours, theirs):
        """Compares the losses of three steps. A loss of attention is a sum of many products of either sign, so its
        error is measured against the square root of their number."""
        kind, *extents = row.split()
        scale = 1 if kind == "encoder_decoder" else math.sqrt(math.prod(map(int, extents[:3])))
        for a, b in zip(ours, theirs, strict=True):
            if not abs(a - b) <= 1e-3 * (scale + abs(b)):
                raise SystemExit(f"{row}: losses differ: xtape {ours}, {variant} {theirs}")

    def run(self, row):
        made, variants, remarks = self.set_up(row)
        rounds, budget = self.options.rounds, self.options.seconds
        ours = {1: [], 2: []}
        theirs = {(v, t): [] for v in variants for t in (1, 2)}
        start = time.monotonic()
        for done in range(rounds):
            if done >= 3 and time.monotonic() - start > 60:
                break  # steps that take seconds vary little
            for threads in (1, 2):
                if "flops" in made:
                    ours[threads].append(self.xtape.ask("run", threads, budget))
                for variant in variants:
                    theirs[variant, threads].append(self.torch.ask("run", variant, threads, budget))
            for answers in [*ours.values(), *theirs.values()]:
                if answers and "error" in answers[-1]:
                    remarks.append(answers[-1]["error"])
        best = {1: None, 2: None}
        compiled = {1: None, 2: None}
        for (variant, threads), answers in theirs.items():
            times = [a["ms"] for a in answers if "ms" in a]
            if not times:
                continue
            into = compiled if variant.endswith("+compile") else best
            into[threads] = first_number([into[threads], self.typical(times)])
        best[2] = first_number(best.values())
        records = []
        for threads in (1, 2):
            good = [a for a in ours[threads] if "ms" in a]
            ms = self.typical([a["ms"] for a in good]) if good else None
            sgemm = max((a["sgemm"] for a in ours[1] + ours[2] if "sgemm" in a), default=0) * threads
            torch_ms = best[threads]
            apart = []
            record = {
                "name": name_of(row), "threads": threads, "xtape_ms": ms, "torch_ms": torch_ms,
                "ratio": torch_ms / ms if ms and torch_ms else None,
                "gflops": made["flops"] / ms * 1e-6 if ms else None,
                "percent_of_sgemm": made["flops"] / ms * 1e5 / sgemm if ms else None,
                # The first round may still be warming up.
                "system_allocations": max((a["system_allocations"] for a in good[1:]), default=None),
                "peak_bytes": max((a["peak_bytes"] for a in good), default=None),
            }
            if trips := [a["round_trip_ns"] for a in good if "round_trip_ns" in a]:
                record["round_trip_ns"] = statistics.median(trips)
                if record["round_trip_ns"] > FAR_APART_NS:
                    apart.append(f"cores far apart: {record['round_trip_ns']:.0f} ns")
            if compiled[threads]:
                record["torch_compile_ms"] = compiled[threads]
            if remarks or apart:
                record["remarks"] = sorted(set(remarks)) + apart
            records.append(record)
            self.misses(row, record, sgemm, made.get("flops"), records)
        return records

    @staticmethod
    def misses(row, record, sgemm, flops, records):
        """Adds a note for each goal that a record misses."""
        missed = []
        if record["ratio"]:
            need = least_ratio(row, sgemm, flops / record["torch_ms"] * 1e3)
            if record["ratio"] < need:
                missed.append(f"ratio < {need:.2f}")
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


def print_record(r, one):
    speedup = one["xtape_ms"] / r["xtape_ms"] if r["threads"] == 2 and r["xtape_ms"] and one["xtape_ms"] else None
    peak = r["peak_bytes"] / 2**20 if r["peak_bytes"] is not None else None
    notes = "; ".join(["missed: " + ", ".join(r["missed"])] * bool(r["missed"]) + r.get("remarks", []))
    print(f"| {r['name']} | {r['threads']} | {text(r['xtape_ms'], '.3f')} | {text(r['torch_ms'], '.3f')} | "
          f"{text(r['ratio'], '.2f')} | {text(r.get('torch_compile_ms'), '.3f')} | {text(r['gflops'], '.1f')} | "
          f"{text(r['percent_of_sgemm'], '.0f')} | {text(speedup, '.2f')} | {text(r['system_allocations'], '.1f')} | "
          f"{text(peak, '.1f')} | {notes} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/bench/training_step"),
                        help="bench/training_step.cpp, built")
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
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
    parser.add_argument("--memory-limit", type=float, default=8, help="GiB that either side may use")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, as a further column")
    parser.add_argument("--no-torch", action="store_true", help="xtape alone")
    parser.add_argument("--memory", action="store_true", help="only the memory of long sequences")
    parser.add_argument("--busy", action="store_true", help="only two threads over one beside a busy loop")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 0.05
    options.no_torch |= options.memory or options.busy
    rows = [r for r in read_rows(options.shapes) if re.search(options.rows, name_of(r))]
    comparison = Comparison(options)
    if options.memory:
        return comparison.memory()
    if options.busy:
        return comparison.busy(rows)
    rates = comparison.xtape.ask("rates")
    print(f"One thread, 1024^3: BLAS's sgemm {rates['sgemm'] / 1e9:.0f} GFLOP/s, "
          f"xtape's products {rates['own'] / 1e9:.0f}.\n")
    print("| row | threads | xtape ms | PyTorch ms | ratio | compiled ms | GFLOP/s | % of sgemm | 2 over 1 | "
          "system allocations | peak MiB | notes |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
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
            print_record(record, made[0])
        records += made
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(records, indent=1) + "\n")
    failed = [r["name"] for r in records if r["xtape_ms"] is None]
    if failed:
        print(f"xtape could not do {', '.join(dict.fromkeys(failed))}")
    compared = [r for r in records if r["ratio"]]
    if not compared:
        print("nothing to compare")
        return int(bool(failed))
    mean = math.exp(statistics.fmean(math.log(r["ratio"]) for r in compared))
    lowest = min(compared, key=lambda r: r["ratio"])
    print(f"geometric mean ratio {mean:.2f}, lowest {lowest['ratio']:.2f} "
          f"({lowest['name']} on {lowest['threads']} thread{'s' * (lowest['threads'] > 1)})")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
