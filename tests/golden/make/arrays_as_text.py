"""Writes ../arrays_as_text.json: arrays as NumPy prints them. It needs NumPy alone.

    python3 tests/golden/make/arrays_as_text.py
"""

import json
import pathlib

import numpy as np

INF, NAN = np.inf, np.nan


def cases():
    random = np.random.default_rng(1)
    for dtype in ("float32", "float64"):
        def array(values, dtype=dtype):
            return np.array(values, dtype=dtype)

        yield from (array(x) for x in (
            0.0, 1.5, -2, 1e-5, 123456.789, 1e16, 3e-7, NAN, -INF, [], [[], []], [1], [1, 2.5],
            [[1, 2], [3, 4.5]], [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [-1, 10, 100.25],
            [1e-5, 1], [1e8, 1], [1e8, -2.5e9], [1, 2000], [0.1, 0.2, 1 / 3], [NAN, 1, INF],
            [NAN, 1.25, -INF], [NAN, NAN], [INF, -INF], [0, 0, 0], [-0.0, 0.0], [1e-10, 0, 5],
            [[NAN, 1e-9], [2, -3]], [1e30, NAN, -1e-30], [999.99999, 0.5], [1000.5, 1],
            [0.123456789012, 5.5], [99999999, 1], [12345678.9, 98765432.1]))
        yield array(random.normal(size=(3, 4)))
        yield array(random.normal(size=(2, 20)))
        yield array(random.normal(size=30) * 1e5)
        yield array(np.arange(999))
        yield array(np.arange(1001))
        yield array(np.arange(2000).reshape(40, 50) / 8)
        yield array(np.arange(1100).reshape(2, 1, 550))
        yield array(np.arange(1200).reshape(10, 10, 3, 4))
        yield array(np.ones((2, 1, 3, 1)))
        yield array(10.0 ** np.arange(-6, 6))
    yield np.array([1e300, 1, 1e-300])
    yield np.array([1e-100, 1e100, 5])
    yield np.array(1.7976931348623157e308)
    yield np.array(True)
    yield np.array([True, False])
    yield np.array([[True], [True]])
    for dtype in ("int64", "int32", "uint8"):
        yield np.array(7, dtype=dtype)
        yield np.array([1, 20, 3], dtype=dtype)
        yield np.arange(120, dtype=dtype).reshape(4, 30)
    yield np.array([-1, 1000, 5])
    yield np.array([-9223372036854775808, 9223372036854775807])
    yield np.arange(5000)


def number(x):
    return str(int(x)) if x.dtype.kind in "biu" else repr(float(x))


data = [{"dtype": str(a.dtype), "shape": a.shape, "data": [number(x) for x in a.ravel()],
         "text": str(a)} for a in cases()]
path = pathlib.Path(__file__).parent.parent / "arrays_as_text.json"
lines = ",\n".join(json.dumps(case) for case in data)
path.write_text(f'{{"numpy": "{np.__version__}", "cases": [\n{lines}\n]}}\n')
