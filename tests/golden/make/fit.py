"""Keras's callbacks in fit: the order of hooks, and their decisions. See make.py."""

import os
import tempfile

from reference import Family, keras, np

callbacks = keras.callbacks


class Scripted(keras.callbacks.Callback):
    """Puts given numbers into the logs, in front of the callbacks under test."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns

    def on_epoch_end(self, epoch, logs=None):
        for name, values in self.columns.items():
            logs.pop(name, None)
            if values[epoch] is not None:
                logs[name] = values[epoch]


def model(rate=0.125, weight=0.0):
    m = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    m.compile(keras.optimizers.SGD(rate), "mse")
    m.set_weights([np.full((1, 1), weight)])
    return m


def run(callback, columns, epochs, rate=0.125):
    """Returns the epochs trained and the weight. The weight is the number of the running epoch."""
    m = model(rate)
    rates, epochs_run = [], []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs_run.append(epoch)
            rates.append(float(m.optimizer.learning_rate))

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            m.set_weights([np.full((1, 1), float(self.epoch))])

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    x = np.zeros((2, 1))
    history = m.fit(x, x, epochs=epochs, batch_size=2, verbose=0,
                    callbacks=[Weights(), Scripted(columns), callback, Watch()])
    return {"epochs": len(epochs_run), "rates": rates, "weight": float(m.get_weights()[0][0, 0]),
            "history": {k: [float(v) for v in values] for k, values in history.history.items()
                        if k in columns}}


def early_stopping():
    falling = [10., 9., 8., 9., 8.9, 8.8, 8.7, 8.6, 8.5, 8.4]
    baseline = [.9, .8, .7, .71, .72, .73, .74, .75]
    for losses, options in (
            [(falling, {"patience": p}) for p in range(5)]
            + [(falling, {"patience": 2, "restore_best_weights": True}),
               (falling, {"patience": 2, "min_delta": 1.5, "restore_best_weights": True}),
               (falling, {"patience": 1, "mode": "max"}),
               (falling, {"patience": 1, "start_from_epoch": 4}),
               (baseline, {"patience": 5, "baseline": .5, "restore_best_weights": True}),
               (baseline, {"patience": 2, "baseline": .75}),
               ([1., 1., 1., 1.], {}), ([1., 2., 1., 1.], {"patience": 1}),
               ([None, 1., 2., 2., 2., 2.], {"patience": 2})]):
        columns = {"val_loss": losses}
        yield {"kind": "early_stopping", "columns": columns, "options": options} | run(
            callbacks.EarlyStopping(**options), columns, len(losses))


def reduce_on_plateau():
    for losses, options in [
            ([1.] * 5, {"patience": 1, "cooldown": 2}), ([1.] * 6, {"patience": 1}),
            ([1.] * 8, {"patience": 2, "cooldown": 1, "factor": .5}),
            ([1.] * 4, {"patience": 0}), ([1.] * 4, {"patience": 1, "min_lr": .01}),
            ([1., .99995, .9999, .5, .5, .5], {"patience": 2}),
            ([1., 2., 1., 3., 3., 3.], {"patience": 1, "mode": "max", "min_delta": .5})]:
        columns = {"val_loss": losses}
        yield {"kind": "reduce_on_plateau", "columns": columns, "options": options} | run(
            callbacks.ReduceLROnPlateau(**options), columns, len(losses), .1)


def csv_logger():
    for columns in [{"loss": [.5, 1e-5, 1e16], "accuracy": [1., .1, 123456789.125]},
                    {"loss": [.5, .25, .1], "val_loss": [None, 1., 2.], "b": [1., None, 3.]},
                    {"loss": [1., 2., 3.], "val_loss": [4., 5., 6.], "a,b": [7., 8., 1e-4]}]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log.csv")
            run(callbacks.CSVLogger(path), columns, 2)
            run(callbacks.CSVLogger(path, append=True), columns, 3)
            with open(path, newline="") as f:
                text = f.read()
        yield {"kind": "csv_logger", "columns": columns, "text": text.replace("\r\n", "\n")}


def hooks():
    """Two epochs of three batches, validation on two after each second, stopped in the last."""
    calls = []

    class Log(keras.callbacks.Callback):
        def stopping(self, name, index):
            if name == "on_train_batch_end" and self.epoch == 1 and index == 1:
                self.model.stop_training = True

    def hook(name, indexed):
        def call(self, *arguments):
            calls.append(name + (f" {arguments[0]}" if indexed else ""))
            if name == "on_epoch_begin":
                self.epoch = arguments[0]
            self.stopping(name, arguments[0])
        return lambda self, index=None, logs=None: call(self, index)

    for part in ("train", "test"):
        for at in ("begin", "end"):
            setattr(Log, f"on_{part}_{at}", hook(f"on_{part}_{at}", False))
            setattr(Log, f"on_{part}_batch_{at}", hook(f"on_{part}_batch_{at}", True))
    for at in ("begin", "end"):
        setattr(Log, f"on_epoch_{at}", hook(f"on_epoch_{at}", True))
    x = np.zeros((6, 1))
    model().fit(x, x, epochs=3, batch_size=2, verbose=0, callbacks=[Log()],
                validation_data=(x[:4], x[:4]), validation_freq=2)
    yield {"kind": "hooks", "calls": calls}


def progress_bar():
    from keras.src.utils import io_utils, progbar

    for target, times, verbose in [(3, [0, .5, .75, 1.], 1), (100, [0, .2, .3, 9.5, 400.], 1),
                                   (12345, [0, 1., 2., 3.], 1), (5, [0, .001, .0015, .002], 2),
                                   (7, [0, 1.5, 4.5, 9.], 2)]:
        clock = {"now": 1000.0}
        text = []
        old = progbar.time.time, io_utils.print_msg, progbar.sys.stdout.isatty
        try:
            progbar.time = type("Time", (), {"time": staticmethod(lambda: clock["now"])})
            io_utils.print_msg = lambda message, line_break=True: text.append(message)
            bar = progbar.Progbar(target, verbose=verbose, stateless_metrics=set())
            bar._dynamic_display = True
            steps = list(range(1, len(times) - 1)) + [target]
            values = [[("loss", 1.25 / s), ("small", -1e-3 / s), ("mae", .0009 * s)] for s in steps]
            for i, (s, t) in enumerate(zip(steps, times[1:])):
                clock["now"] = 1000.0 + t
                bar.update(s, values[i], finalize=s == target)
        finally:
            import time
            progbar.time = time
            io_utils.print_msg = old[1]
        yield {"kind": "progress_bar", "total": target, "verbose": verbose,
               "steps": steps, "times": times[1:], "values": values,
               "text": "".join(text).replace("\b", "")}


def fit():
    f = Family("fit", 19)
    for family in (early_stopping, reduce_on_plateau, csv_logger, hooks, progress_bar):
        f.cases += list(family())
    f.write()
