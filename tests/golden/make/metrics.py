"""Golden cases of the metrics. See make.py."""

import rapidfuzz.distance
import sacrebleu

from reference import Family, encode, keras, np, torch


def metrics():
    f = Family("metrics", 12)
    k = keras.metrics

    def add(kind, metric, batches, options=None, name=""):
        """Updates a metric with batches of (truth, prediction, weight or None, mask or None)."""
        recorded, results = [], []
        for truth, prediction, weight, mask in batches:
            arrays = {"prediction": prediction, "truth": truth}
            used = weight
            if weight is not None:
                arrays["sample_weight"] = weight
            if mask is not None:
                arrays["mask"] = mask
                used = mask * (1.0 if weight is None else weight)
            metric.update_state(torch.tensor(truth), torch.tensor(prediction),
                                None if used is None else torch.tensor(used))
            recorded.append({key: encode(x) for key, x in arrays.items()})
            results.append(float(metric.result()))
        f.cases.append({"name": f"{kind} {name}{options or ''}", "kind": kind,
                        "options": options or {}, "batches": recorded, "results": results})

    def batches(make, samples=(4, 3)):
        w, m = f.uniform(*samples, low=0, high=2), f.mask(*samples)
        return [make() + (None, None), make() + (w, None), make() + (None, m), make() + (w, m)]

    def sparse(classes=5):
        return f.random.integers(0, classes, (4, 3)), f.uniform(4, 3, classes)

    def dense():
        labels, p = sparse()
        return np.eye(5)[labels], p

    def binary():
        return (f.uniform(4, 3, 1) > 0).astype(float), f.uniform(4, 3, 1, low=0, high=1)

    add("accuracy", k.SparseCategoricalAccuracy(), batches(sparse), name="sparse")
    add("accuracy", k.CategoricalAccuracy(), batches(dense), name="categorical")
    add("accuracy", k.BinaryAccuracy(threshold=0.3), [
        b[:2] + (None if b[2] is None else b[2][..., None], None if b[3] is None else b[3][..., None])
        for b in batches(binary)], {"threshold": 0.3}, name="binary")
    # Ties: the first of the largest is the answer.
    tied = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    add("accuracy", k.SparseCategoricalAccuracy(),
        [(np.array([1, 1, 0]), tied, None, None)], name="ties")
    add("top_k", k.SparseTopKCategoricalAccuracy(k=1), [
        (np.array([1, 2, 2]), tied, None, None)], {"k": 1}, name="ties")
    for top in (1, 2, 5, 7):
        add("top_k", k.SparseTopKCategoricalAccuracy(k=top), batches(lambda: sparse(7)),
            {"k": top})

    def elements():
        return (f.uniform(4, 3, 2) > 0).astype(float), f.uniform(4, 3, 2, low=0, high=1)

    add("binary_accuracy", k.BinaryAccuracy(threshold=0.5), [
        b[:2] + tuple(None if x is None else np.repeat(x[..., None], 2, 2) for x in b[2:])
        for b in batches(elements)], {"threshold": 0.5})

    class Perplexity(k.Mean):
        """exp of the weighted mean of Keras's cross-entropies, as keras-hub defines it."""

        def __init__(self, logits, padding):
            super().__init__()
            self.logits, self.padding = logits, padding

        def update_state(self, truth, prediction, weight=None):
            losses = k.sparse_categorical_crossentropy(truth, prediction, self.logits)
            weight = torch.ones_like(losses) if weight is None else weight.to(losses.dtype)
            if self.padding is not None:
                weight = weight * (truth != self.padding)
            super().update_state(losses, weight)

        def result(self):
            return torch.exp(torch.as_tensor(super().result()))

    for logits in (True, False):
        for padding in (None, 0):
            def tokens():
                labels, x = sparse()
                p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
                return labels, x if logits else p.round(6)
            add("perplexity", Perplexity(logits, padding), batches(tokens),
                {"from_logits": logits, "mask_token_id": padding})

    mean = k.Mean()
    values = [f.uniform(4, 3), f.uniform(4, 3), f.uniform(4, 3)]
    weights = [None, f.uniform(4, 3, low=0, high=2), np.zeros((4, 3))]
    results = []
    for v, w in zip(values, weights):
        mean.update_state(torch.tensor(v), None if w is None else torch.tensor(w))
        results.append(float(mean.result()))
    f.cases.append({"name": "mean", "kind": "mean", "options": {}, "results": results, "batches": [
        {"values": encode(v)} | ({} if w is None else {"sample_weight": encode(w)})
        for v, w in zip(values, weights)]})

    # Edit distances, of another program.
    pairs = [([], []), ([1], []), ([], [1, 2]), ([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [3, 2, 1])]
    pairs += [(f.random.integers(0, 4, n).tolist(), f.random.integers(0, 4, m).tolist())
              for n, m in zip(f.random.integers(0, 14, 40).tolist(),
                              f.random.integers(0, 14, 40).tolist())]
    f.cases.append({"name": "edit_distance", "kind": "edit_distance", "pairs": [
        [a, b, int(rapidfuzz.distance.Levenshtein.distance(a, b))] for a, b in pairs]})
    letters = "".join(map(chr, [*range(0x41, 0x180), *range(0x386, 0x3CF), *range(0x400, 0x530)]))
    letters = letters.replace("\u0130", "").replace("\u03a2", "")
    f.cases.append({"name": "lower", "kind": "lower", "text": letters,
                    "lower": "".join(c.lower() for c in letters)})
    f.write()


def bleu():
    """Corpora of words, by sacrebleu without its tokenizer and without smoothing."""
    f = Family("bleu", 13)
    words = ["der", "Die", "das", "Straße", "Ärger", "Ёлка", "a", "A", "the", "The", "."]

    def sentence(low, high):
        return [words[i] for i in f.random.integers(0, len(words), f.random.integers(low, high))]

    def near(tokens):
        out = [words[f.random.integers(len(words))] if f.random.uniform() < 0.3 else t for t in tokens]
        return [t for t in out if f.random.uniform() < 0.9] + sentence(0, 2)

    def add(name, hypotheses, references, order=4, lowercase=True):
        """references: for each sample a list."""
        streams = [[" ".join(r[i]) for r in references] for i in range(len(references[0]))]
        scorer = sacrebleu.BLEU(lowercase=lowercase, force=True, tokenize="none",
                                smooth_method="none", max_ngram_order=order)
        score = scorer.corpus_score([" ".join(h) for h in hypotheses], streams)
        f.cases.append({"name": name, "hypotheses": hypotheses, "references": references,
                        "max_order": order, "lowercase": lowercase, "score": score.score,
                        "counts": [int(c) for c in score.counts], "totals": [int(t) for t in score.totals],
                        "hypothesis_length": score.sys_len, "reference_length": score.ref_len})

    for n, many in ((1, 1), (3, 1), (20, 1), (20, 3), (5, 2)):
        for lowercase in (True, False):
            references = [[sentence(4, 15) for _ in range(many)] for _ in range(n)]
            hypotheses = [near(r[f.random.integers(many)]) for r in references]
            add(f"{n} sentences, {many} references, {lowercase}", hypotheses, references,
                lowercase=lowercase)
            add(f"{n} sentences, {many} references, {lowercase}, bigrams", hypotheses, references, 2,
                lowercase)
    same = [sentence(4, 9) for _ in range(5)]
    add("equal", same, [[s] for s in same])
    add("short", [s[:-2] for s in same], [[s] for s in same])
    add("long", [s + s for s in same], [[s] for s in same])
    add("nothing alike", [["x"] * 5], [[["y"] * 5]])
    add("below four words", [["the", "der"]], [[["the", "der"]]])
    add("an empty hypothesis", [[], same[0]], [[same[1]], [same[0]]])
    add("lengths as near", [["a", "b", "c", "d", "e"]],
        [[["a", "b", "c", "d"], ["a", "b", "c", "d", "e", "f"]]])
    add("repeated words", [["the"] * 7], [[["the", "cat", "is", "on", "the", "mat"]]], 1)
    f.write()
