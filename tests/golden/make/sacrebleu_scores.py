"""Writes tests/golden/sacrebleu/scores.json, from the root of the repository: the figures of the sacrebleu package.

With two files as arguments, translations and pairs (source<TAB>target[<TAB>other target]), prints their figures."""
import json
import sys

from sacrebleu.metrics import BLEU, CHRF


def scores(translations, pairs, lowercase=False):
    with open(translations, encoding="utf-8", newline="\n") as file:
        hypotheses = [line.rstrip("\n") for line in file]
    with open(pairs, encoding="utf-8", newline="\n") as file:
        targets = [line.rstrip("\n").split("\t")[1:] for line in file]
    references = [list(some) for some in zip(*targets)]
    bleu = BLEU(lowercase=lowercase)
    chrf = CHRF(lowercase=lowercase)
    return {
        "sacrebleu": bleu.corpus_score(hypotheses, references).score,
        "sacrebleu_signature": str(bleu.get_signature()),
        "chrf": chrf.corpus_score(hypotheses, references).score,
        "chrf_signature": str(chrf.get_signature()),
    }


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(scores(*sys.argv[1:3]), indent=1))
    else:
        folder = "tests/golden/sacrebleu/"
        files = folder + "translations.txt", folder + "references.tsv"
        result = {"cased": scores(*files), "lowercase": scores(*files, lowercase=True)}
        with open(folder + "scores.json", "w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=1) + "\n")
