"""The common part of torch_steps.py and jax_steps.py, the workers of compare.py: the numbers that bench/meter.hpp makes
too, the weights that xtape saved, clocks, and a loop that answers each line of text with a line of JSON."""

import json
import math
import resource
import statistics
import sys
import time

import numpy as np

RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # of xtape's Adam
NORM_EPSILON = 1e-5  # of normalizations
DROPOUT = 0.1


# --- data

def hashed(shape, salt):
    h = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(salt * 0x9E3779B9 & 0xFFFFFFFF)
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return (h ^ (h >> 16)).reshape(shape)


def numbers(shape, salt):
    return (hashed(shape, salt) / 2147483648.0 - 1.0).astype(np.float32)


def tokens(shape, classes, salt):
    return (hashed(shape, salt) % classes).astype(np.int64)


def sinusoids(length, width):
    position = np.arange(length)[:, None]
    angle = position * 10000.0 ** (-(np.arange(width) // 2 * 2) / width)
    return np.where(np.arange(width) % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def padded_lengths(batch, length):
    return np.array([length - length * (b + 1) // (2 * (batch + 1)) for b in range(batch)])


class Weights:
    """The arrays of a file that xtape saved. Each can be taken once."""

    def __init__(self, path):
        self.arrays = dict(np.load(path))
        self.total = sum(a.size for a in self.arrays.values())

    def take(self, *paths):
        """Returns arrays joined along their last axis. Kernels become (inputs, outputs), and biases vectors."""
        parts = []
        for path in paths:
            a = self.arrays.pop(path)
            if path.endswith("kernel"):
                outputs = a.shape[2:] if path.endswith("attention_output/kernel") else a.shape[1:]
                a = a.reshape(-1, math.prod(outputs))
            elif path.endswith("bias"):
                a = a.reshape(-1)
            parts.append(a)
        return np.concatenate(parts, axis=-1)

    def check(self, parameters):
        """Throws if a model with this number of parameters is not the saved one."""
        if self.arrays or parameters != self.total:
            raise ValueError(f"the models differ: left over are {sorted(self.arrays)}")


# --- the loop

def measure(step, budget):
    """Returns the milliseconds of the median step, and those of processor time per step, as bench/work.hpp does."""
    def timed():
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    processor = time.process_time()
    total = timed()
    times = [total] if total > 0.05 else []
    if not times:
        processor = time.process_time()
    while not times or total < budget:
        times.append(timed())
        total += times[-1]
    processor = time.process_time() - processor
    return {"ms": statistics.median(times) * 1e3, "processor_ms": processor / len(times) * 1e3}


def limit_memory(size):
    """Limits the address space to `size` bytes more than the process has now."""
    with open("/proc/self/statm") as statm:
        present = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + size, present + size))


def serve(make, gigabytes, use_threads=lambda count: None):
    """Answers commands. make(variant, kind, extents, weights) returns a model with `parameters`, their number, and
    `step`, which does one step and returns the loss before it."""
    limit_memory(int(float(gigabytes) * 2**30))
    works = {}
    for line in sys.stdin:
        command, *words = line.split()
        answer = {}
        try:
            if command == "clear":
                works.clear()
            elif command == "row":  # VARIANT FILE KIND EXTENTS...
                variant, path, kind, *extents = words
                weights = Weights(path)
                works[variant] = make(variant, kind, [int(n) for n in extents], weights)
                answer["parameters"] = works[variant].parameters
                weights.check(works[variant].parameters)
            elif command == "losses":  # VARIANT COUNT
                answer["losses"] = [float(works[words[0]].step()) for _ in range(int(words[1]))]
            elif command == "run":  # VARIANT THREADS SECONDS
                use_threads(int(words[1]))
                answer |= measure(works[words[0]].step, float(words[2]))
            else:
                answer["error"] = f"no command: {command}"
        except Exception as e:  # the caller decides
            answer["error"] = f"{type(e).__name__}: {e}".splitlines()[0]
            if "allocate memory" in answer["error"] or "RESOURCE_EXHAUSTED" in answer["error"]:
                answer["error"] = f"more than {gigabytes} GiB needed"
        print(json.dumps(answer), flush=True)
