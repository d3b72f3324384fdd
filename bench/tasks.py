#!/usr/bin/env python3
"""Trains the recipes of examples/recipes and writes a table beside published figures.

    cmake --preset release && cmake --build --preset release
    python3 bench/tasks.py --data FOLDER --json tasks.json            # every task whose data is there
    python3 bench/tasks.py --data FOLDER --tasks 'hun|fre' --seeds 1 2 3
    python3 bench/tasks.py --tasks georgian --train a.tsv --dev b.tsv --test c.tsv
    python3 bench/tasks.py --data FOLDER --quick                      # an epoch of a tenth of Multi30k
    python3 bench/tasks.py --data FOLDER --quick --torch              # the same in PyTorch, and how far apart

FOLDER holds a folder per task, sigmorphon2020_g2p/hun/train.tsv.gz and so on; TASKS below lists them. The data are
not part of the project. Where there is no test file the dev file is scored."""

import argparse
import collections
import gzip
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LANGUAGES = "ady arm bul dut fre geo gre hin hun ice jpn kor lit rum vie".split()
WITH_TEST = {"fre", "gre", "hun"}


class Task:
    def __init__(self, name, recipe, folder, published, figure="wer", test=True, suffix=".tsv.gz", extra=()):
        self.name, self.recipe, self.folder, self.published = name, recipe, folder, published
        self.figure, self.extra = figure, list(extra)
        self.train, self.dev = f"{folder}/train{suffix}", f"{folder}/dev{suffix}"
        self.test = f"{folder}/test{suffix}" if test else self.dev


TASKS = [
    Task("dates", "dates", "toy_dates", "none", "exact"),
    Task("georgian", "georgian", "sigmorphon2021_g2p/geo", "100.00 (WER 0.00, ensemble)", "exact", suffix=".tsv"),
    *(Task(f"sigmorphon/{language}", "sigmorphon2020", f"sigmorphon2020_g2p/{language}",
           {"hun": "5.33", "fre": "6.89", "gre": "18.89"}.get(language, "none"), test=language in WITH_TEST,
           suffix=".tsv") for language in LANGUAGES),
    Task("multi30k", "multi30k", "multi30k/de_en_spacy", "36.52 greedy", "bleu"),
    Task("multi30k_raw", "multi30k_raw", "multi30k/de_en_raw", "none", "sacrebleu"),
    Task("multi30k_bpe", "multi30k_bpe", "multi30k/en_de_bpe", "41.02, beam 5, of words", "bleu_of_words"),
    Task("cmudict", "cmudict", "cmudict_g2p", "20.6"),
    Task("scan", "scan", "scan/simple", "98.9 (LSTM)", "exact"),
    Task("addition", "addition", "toy_addition3", "99 (LSTM)", "exact"),
    Task("reverse", "reverse", "toy_reverse", "95.19 (recurrent)", "bleu"),
    Task("shakespeare", "shakespeare", "tiny_shakespeare", "1.88", "loss"),
]


def run(command, log):
    """Returns the command's output and wall time. Writes the output to a log too."""
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log.write(f"$ {' '.join(map(str, command))}\n{done.stdout}\n")
    log.flush()
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{command[0]} {command[1]} ended with {done.returncode}")
    return done.stdout, time.monotonic() - start


def bleu_of_words(program, folder, test, beam):
    """Returns the BLEU of words whose parts end in @@, on the given tokens, lower-case as the data are."""
    with gzip.open(test, "rt", encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    done = subprocess.run([program, "translate", folder / "model", "--beam", str(beam)], check=True, text=True,
                          input="".join(f"{source}\n" for source, _ in pairs), stdout=subprocess.PIPE)
    matches, totals, lengths = [0] * 4, [0] * 4, [0, 0]
    for ours, (_, theirs) in zip(done.stdout.splitlines(), pairs, strict=True):
        words = [re.sub(r"@@( |$)", "", text).split() for text in (ours, theirs)]
        lengths = [n + len(w) for n, w in zip(lengths, words)]
        for n in range(4):
            here, there = (collections.Counter(zip(*(w[i:] for i in range(n + 1)))) for w in words)
            matches[n] += sum((here & there).values())
            totals[n] += sum(here.values())
    if 0 in matches:
        return 0.0
    precision = statistics.fmean(math.log(m / t) for m, t in zip(matches, totals))
    return 100 * math.exp(precision + min(0.0, 1 - lengths[1] / lengths[0]))


def sequence_task(options, task, paths, seed, folder, log):
    program = options.programs / "seq2seq"
    train, dev, test = paths
    out, wall = run([program, "train", "--config", ROOT / f"examples/recipes/{task.recipe}.ini", "--train", train,
                     "--dev", dev, "--model", folder / "model", "--seed", seed, *task.extra, *options.extra,
                     *(["--record", folder / "record"] if options.torch else [])], log)
    speed = re.search(r"([\d.]+) s, (\d+) target tokens/s, ([\d.]+) GFLOP/s", out)
    record = {"task": task.name, "seed": seed, "published": task.published, "train_seconds": float(speed[1]),
              "wall_seconds": wall, "tokens_per_second": float(speed[2]), "gflops": float(speed[3]),
              "loss": [float(v) for v in re.findall(r"(?<!_)loss: ([\d.e+-]+)", out)],
              "val_batch_loss": [float(v) for v in re.findall(r"val_batch_loss: ([\d.e+-]+)", out)],
              "val_loss": [float(v) for v in re.findall(r"val_loss: ([\d.e+-]+)", out)],
              "scored": str(test)}
    if options.torch:
        out, wall = run([sys.executable, ROOT / "bench/torch_seq2seq.py", folder / "record", "--seed", seed], log)
        record["torch"] = json.loads(out.splitlines()[-1]) | {"wall_seconds": wall}
    for beam in dict.fromkeys([1, *options.beams]):
        run([program, "evaluate", folder / "model", test, "--beam", beam, "--json", folder / "figures.json"], log)
        figures = json.loads((folder / "figures.json").read_text())
        if task.figure == "bleu_of_words":
            figures[task.figure] = bleu_of_words(program, folder, test, beam)
        record["greedy" if beam == 1 else f"beam_{beam}"] = figures
    record["figure"], record["value"] = task.figure, record["greedy"][task.figure]
    return record


def text_task(options, task, paths, seed, folder, log):
    program = options.programs / "language_model"
    train, dev, test = paths
    out, wall = run([program, "train", "--config", ROOT / f"examples/recipes/{task.recipe}.ini", "--train", train,
                     "--dev", dev, "--model", folder / "model", "--seed", seed, *options.extra], log)
    out, _ = run([program, "evaluate", folder / "model", test], log)
    return {"task": task.name, "seed": seed, "published": task.published, "wall_seconds": wall, "scored": str(test),
            "figure": "loss", "value": float(out.split()[1])}


def print_row(r):
    def number(key, form):
        return format(r[key], form) if key in r else "-"
    beams = ", ".join(f"beam {k[5:]}: {r[k][r['figure']]:.2f}" for k in r if k.startswith("beam_"))
    print(f"| {r['task']} | {r['seed']} | {r['figure']} | {r['published']} | {r['value']:.4g} | {beams or '-'} | "
          f"{number('train_seconds', '.1f')} | {r['wall_seconds']:.1f} | {number('tokens_per_second', '.0f')} | "
          f"{number('gflops', '.1f')} |", flush=True)


def print_torch(r):
    for name in ("loss", "val_loss"):
        ours, theirs = r[name][-1], r["torch"][name]
        print(f"{name}: {ours:.4f}, PyTorch {theirs:.4f}, {100 * (ours / theirs - 1):+.2f} %", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder of the data")
    parser.add_argument("--tasks", default="", help="only tasks whose name has this pattern")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--beams", type=int, nargs="*", default=[], help="beams to decode with, beside greedy")
    parser.add_argument("--train", help="other files for the tasks chosen")
    parser.add_argument("--dev")
    parser.add_argument("--test")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/release/examples")
    parser.add_argument("--quick", action="store_true", help="Multi30k: an epoch of its first 2,900 pairs")
    parser.add_argument("--torch", action="store_true", help="with --quick: the same epoch in PyTorch")
    parser.add_argument("--json", type=pathlib.Path, help="write one record per run to this file")
    parser.add_argument("--log", type=pathlib.Path, help="all that the programs say")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="further options for training, last")
    options = parser.parse_args()
    chosen = [t for t in TASKS if re.search("^multi30k$" if options.quick else options.tasks, t.name)]
    if options.quick:
        options.extra = ["--epochs", "1", "--limit", "2900", *options.extra]
    if options.torch and not options.quick:
        sys.exit("--torch goes with --quick: PyTorch's side is written for that epoch alone")
    given = [options.train, options.dev, options.test]
    if any(given) and not all(given):
        sys.exit("--train, --dev and --test go together")
    if not any(given) and options.data is None:
        sys.exit("--data FOLDER says where the data is, or --train, --dev and --test which files")
    print("| task | seed | figure | published | greedy | beams | training s | all s | tokens/s | GFLOP/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    records = []
    log = open(options.log, "a") if options.log else open("/dev/null", "w")
    for task in chosen:
        paths = given if all(given) else [options.data / p for p in (task.train, task.dev, task.test)]
        if task.name == "shakespeare" and not all(given):
            paths = [options.data / task.folder / name for name in ("train.txt.gz", "val.txt.gz", "val.txt.gz")]
        missing = [str(p) for p in paths if not pathlib.Path(p).exists()]
        if missing:
            print(f"{task.name} is left out: no {', '.join(missing)}", file=sys.stderr)
            continue
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                work = text_task if task.recipe == "shakespeare" else sequence_task
                records.append(work(options, task, paths, seed, pathlib.Path(folder), log))
            print_row(records[-1])
            if options.torch:
                print_torch(records[-1])
            if options.json:
                options.json.write_text(json.dumps(records, indent=1) + "\n")
        values = [r["value"] for r in records if r["task"] == task.name]
        if len(values) > 1:
            error = statistics.stdev(values) / math.sqrt(len(values))
            print(f"{task.name}: mean of {len(values)} seeds {statistics.fmean(values):.2f} (standard error {error:.2f})",
                  flush=True)
    if not records:
        sys.exit("no task was run")


if __name__ == "__main__":
    main()
