#pragma once
// Names that the snippets of the documents use without declaring them; see tests/check_snippets.sh. Snippets are
// compiled and never run, so nothing here is defined.

#include <xtape/xtape.hpp>

#include <iostream>

namespace xp = xtape;

struct Pair {
  std::vector<std::string> source, target;
};
struct Batch {
  xp::Array<float> x, y;
  xp::Array<std::int64_t> ids, labels;
};
struct AnyModel {
  xp::Var<float> operator()(const xp::Var<float>& x) const;
};
Batch make_batch(const xp::Selection<Pair>& pairs);
Batch batch_of(std::int64_t epoch, std::int64_t batch);
void train(const Batch& batch);
double tokens_in(const Batch& batch);
xp::Var<float> loss_per_token(xp::Tape<float>& on, const Batch& batch);
std::vector<std::vector<std::string>> tokens_of(const std::vector<std::vector<std::string>>& rows);

extern xp::Array<float> array, other, scores;
extern xp::Array<double> weights;
extern xp::Array<std::int64_t> parents, labels, source, target_out, some_ids;
extern xp::Array<bool> mask, source_mask;
extern std::vector<std::string> written, words;
extern std::vector<double> losses, val_losses;
extern std::vector<std::size_t> lengths;
extern std::vector<std::byte> png_bytes;
extern std::size_t longest;
extern bool is_best;

extern xp::Params<float> params;
extern xp::Scope<float> s;
extern xp::Tape<float> tape;
extern xp::Var<float> x, y, target, next, loss, logits;
extern xp::Tokens<float> ids, target_ids, target_in, last;
extern xp::Adam<float> adam, optimizer;
extern xp::MultiHeadAttention<float> attention;
extern xp::LanguageModel<float> language_model;
extern AnyModel model;
extern std::vector<Batch> batches, held_out;
extern xp::Batches<Batch> batches_of_tokens;
xp::StepResult<float> mean_over_tokens(xp::Tape<float>& on, const Batch& shard);
extern xp::Checkpoints checkpoints;
extern std::vector<std::vector<Batch>> steps;
