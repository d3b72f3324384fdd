"""Metrics of classes and of regressions, by scikit-learn and Keras. See make.py."""

import sklearn.metrics as sk

from reference import Family, agree, encode, keras, np, torch


def class_metrics():
    f = Family("class_metrics", 41)
    k = keras.metrics

    def record(name, kind, options, batches, results, **more):
        """batches: (prediction, truth, weight or None), results: one after each batch."""
        f.cases.append({"name": name, "kind": kind, "options": options, "results": results} | more | {
            "batches": [{"prediction": encode(p), "truth": encode(t)} |
                        ({} if w is None else {"sample_weight": encode(w)})
                        for p, t, w in batches]})

    def so_far(batches, of):
        """Returns of(prediction, truth, weight) of all batches up to each."""
        results = []
        for n in range(1, len(batches) + 1):
            some = batches[:n]
            weights = [np.ones(len(p)) if w is None else w for p, _, w in some]
            results.append(float(of(*(np.concatenate(part) for part in
                                      ([p for p, _, _ in some], [t for _, t, _ in some], weights)))))
        return results

    def weight(n, i):
        return None if i == 0 else f.uniform(n, low=0, high=2)

    score = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    # Labels of several classes: scikit-learn. Class 4 is never answered in the first batch.
    many = []
    for i, n in enumerate((30, 17, 9)):
        p = f.uniform(n, 5)
        p[:, 4] -= 2 if i == 0 else 0
        many.append((p, np.concatenate([np.arange(5), f.random.integers(0, 5, n - 5)]), weight(n, i)))
    for kind, of in score.items():
        for average in ("macro", "micro", "weighted"):
            record(f"{kind}, {average}", kind, {"average": average}, many, so_far(
                many, lambda p, t, w: of(t, p.argmax(1), average=average, sample_weight=w,
                                         zero_division=0.0)))
    record("confusion", "confusion", {}, many, so_far(
        many, lambda p, t, w: sk.accuracy_score(t, p.argmax(1), sample_weight=w)),
        matrix=encode(sk.confusion_matrix(
            np.concatenate([t for _, t, _ in many]), np.concatenate([p.argmax(1) for p, _, _ in many]),
            sample_weight=np.concatenate([np.ones(30)] + [w for _, _, w in many[1:]]))))
    # One column and a threshold: both.
    two = [(f.uniform(n, 1, low=0), f.random.integers(0, 2, n), weight(n, i))
           for i, n in enumerate((20, 11))]
    keras_of = {"precision": k.Precision(thresholds=0.3), "recall": k.Recall(thresholds=0.3)}
    for kind, of in score.items():
        results = so_far(two, lambda p, t, w: of(t, p[:, 0] > 0.3, sample_weight=w))
        record(f"{kind}, one column", kind, {"threshold": 0.3}, two, results)
        if kind in keras_of:
            for p, t, w in two:
                keras_of[kind].update_state(torch.tensor(t[:, None]), torch.tensor(p),
                                            None if w is None else torch.tensor(w[:, None]))
            agree(np.array(float(keras_of[kind].result())), np.array(results[-1]), 1e-14, kind)
    # Targets of several columns, each a decision: scikit-learn's multilabel, and Keras's Precision.
    multi = [(f.uniform(n, 4, low=0), (f.uniform(n, 4) > 0).astype(float), weight(n, i))
             for i, n in enumerate((12, 8))]
    for kind, of in score.items():
        for average in ("macro", "micro", "weighted"):
            record(f"{kind} of columns, {average}", kind, {"average": average, "threshold": 0.5},
                   multi, so_far(multi, lambda p, t, w: of(t, p > 0.5, average=average,
                                                           sample_weight=w, zero_division=0.0)))

    # AUC: Keras.
    rounded = [(f.uniform(n, 1, low=0), f.random.integers(0, 2, n), weight(n, i))
               for i, n in enumerate((40, 23))]
    for options in ({}, {"num_thresholds": 7}, {"curve": "PR"}, {"curve": "PR", "num_thresholds": 9},
                    {"summation_method": "minoring"}, {"summation_method": "majoring"},
                    {"curve": "PR", "summation_method": "minoring"},
                    {"curve": "PR", "summation_method": "majoring"}, {"from_logits": True}):
        metric = k.AUC(**options)
        # The way for evenly spaced thresholds adds in float32 on PyTorch.
        metric._thresholds_distributed_evenly = False
        batches = [((p - 0.5) * 6 if options.get("from_logits") else p, t, w) for p, t, w in rounded]
        results = []
        for p, t, w in batches:
            metric.update_state(torch.tensor(t[:, None].astype(float)), torch.tensor(p),
                                None if w is None else torch.tensor(w[:, None]))
            results.append(float(metric.result()))
        record(f"AUC {options}", "auc", options, batches, results)
    # Scores with one value in each interval, ties included: then it is exact, as scikit-learn's.
    coarse = [((f.random.integers(0, 20, (n, 1)) + 0.5) / 20, f.random.integers(0, 2, n), weight(n, i))
              for i, n in enumerate((50, 30))]
    record("AUC of coarse scores", "auc", {"num_thresholds": 101}, coarse, so_far(
        coarse, lambda p, t, w: sk.roc_auc_score(t, p[:, 0], sample_weight=w)))

    # Regressions: scikit-learn, and Keras without weights.
    real = []
    for i, (n, offset) in enumerate(((15, 0.0), (8, 3.0), (1, -2.0))):
        truth = f.uniform(n, 3) + offset
        real.append((truth + f.uniform(n, 3, low=-0.3, high=0.3), truth, weight(n, i)))
    r2 = so_far(real, lambda p, t, w: sk.r2_score(t, p, sample_weight=w))
    record("R2", "r2", {}, real, r2)
    record("mean absolute error", "mae", {}, real, so_far(
        real, lambda p, t, w: sk.mean_absolute_error(t, p, sample_weight=w)))
    for metric, of in ((k.R2Score(), sk.r2_score), (k.MeanAbsoluteError(), sk.mean_absolute_error)):
        metric.update_state(torch.tensor(real[0][1]), torch.tensor(real[0][0]))
        agree(np.array(float(metric.result())), np.array(of(real[0][1], real[0][0])), 1e-12, "Keras")
    far = [(p + 1e6, t + 1e6, w) for p, t, w in real[:2]]
    record("R2 of targets far from 0", "r2", {}, far, so_far(
        far, lambda p, t, w: sk.r2_score(t, p, sample_weight=w)))
    constant = [(np.array([[1.0, 2.0], [1.0, 2.5]]), np.array([[1.0, 2.0], [1.0, 2.0]]), None)]
    record("R2 of constants", "r2", {}, constant, so_far(
        constant, lambda p, t, w: sk.r2_score(t, p, sample_weight=w)))
    f.write()
