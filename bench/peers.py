"""The frameworks that compare.py sets beside xtape, and the processes that do their steps."""

import json
import math
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
NAMES = {"torch": "PyTorch", "jax": "JAX"}  # by module; MODULE_steps.py does their steps


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
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.ended = self.process.wait()


def version_of(python, module):
    """Returns the version of a module that a Python can import together with NumPy, or None, and why not."""
    try:
        found = subprocess.run([python, "-c", f"import numpy, {module}; print({module}.__version__)"],
                               capture_output=True, text=True)
    except OSError as e:
        return None, str(e)
    if found.returncode == 0:
        return found.stdout.strip(), None
    return None, (found.stderr.strip().splitlines() or [f"{python} ended ({found.returncode})"])[-1]


def check_losses(row, who, ours, theirs, within):
    """Compares the losses of three steps. A loss of attention is a sum of many products of either sign, so its
    error is measured against the square root of their number."""
    kind, *extents = row.split()
    scale = 1 if kind == "encoder_decoder" else math.sqrt(math.prod(map(int, extents[:3])))
    for a, b in zip(ours, theirs, strict=True):
        if not abs(a - b) <= within * (scale + abs(b)):
            raise SystemExit(f"{row}: losses differ: xtape {ours}, {who} {theirs}")


class Peer:
    """One framework. It writes a step in one or more variants; JAX cannot change its number of threads, so it has
    a process for each number."""

    def __init__(self, module, options):
        self.module, self.name = module, NAMES[module]
        self.within = 2e-2 if options.bfloat16 else 1e-3  # of a loss
        self.version, self.missing = version_of(options.python, module)
        start = lambda *words: Worker([options.python, str(HERE / f"{module}_steps.py"), str(options.memory_limit),
                                       *words])
        if self.missing:
            self.variants, self.workers = [], {}
        elif module == "torch":
            self.variants = ["module", "sdpa"] + ["sdpa+compile"] * options.compile
            if options.bfloat16:
                self.variants += [f"{v}+{how}" for how in ("autocast", "medium") for v in ("module", "sdpa")]
            self.workers = dict.fromkeys((1, 2), start())
        else:
            self.variants = ["jit"]
            self.workers = {threads: start(str(threads)) for threads in (1, 2)}

    def about(self):
        return f"{self.name} {self.version}" if not self.missing else f"{self.name} is missing: {self.missing}"

    def set_up(self, row, weights, parameters, losses):
        """Makes the work of a row from saved weights. Returns the pairs (variant, threads) that work, and remarks.
        Exits where a model or its losses are not xtape's."""
        pairs, remarks = [], [f"{self.name} is missing"] * bool(self.missing)
        processes = {id(w): w for w in self.workers.values()}
        for worker in processes.values():
            worker.ask("clear")
            for variant in self.variants:
                answer = worker.ask("row", variant, weights, row)
                if "error" not in answer:
                    answer |= worker.ask("losses", variant, len(losses))
                if "error" in answer:
                    remarks.append(f"{self.name} {variant}: {answer['error']}")
                    continue
                who = f"{self.name} {variant}"
                if answer["parameters"] != parameters:
                    raise SystemExit(f"{row}: {who} has {answer['parameters']} weights, not {parameters}")
                if not row.startswith("dropout"):
                    check_losses(row, who, losses, answer["losses"], self.within)
                pairs += [(variant, threads) for threads, w in self.workers.items() if w is worker]
        return pairs, remarks

    def run(self, variant, threads, seconds):
        return self.workers[threads].ask("run", variant, threads, seconds)
