#include <xtape/models/seq2seq.hpp>

#include "base/instantiate.hpp"
#include "models/options.hpp"

namespace xtape {

static Seq2SeqOptions checked(const std::string& path, Seq2SeqOptions o) {
  detail::check_positive_integer(path, "source_vocabulary", o.source_vocabulary);
  detail::check_positive_integer(path, "target_vocabulary", o.target_vocabulary);
  detail::check_positive_integer(path, "encoder_layers", o.encoder_layers);
  detail::check_positive_integer(path, "decoder_layers", o.decoder_layers);
  detail::check_common<float>(path, o);
  if (o.tying == Tying::all && o.source_vocabulary != o.target_vocabulary) {
    detail::fail<ValueError>(
        path, "tables cannot be one: source_vocabulary is ", o.source_vocabulary,
        " and target_vocabulary is ", o.target_vocabulary,
        ", expected equal ones with Tying::all; use one vocabulary, or Tying::output");
  }
  detail::check_id(path, "pad_id", o.pad_id, o.target_vocabulary);
  detail::check_id(path, "start_id", o.start_id, o.target_vocabulary);
  detail::check_id(path, "end_id", o.end_id, o.target_vocabulary);
  if (o.pad_id == o.end_id || o.start_id == o.end_id) {
    detail::fail<ValueError>(path, "ids are not distinct: end_id is ", o.end_id, ", pad_id is ",
                             o.pad_id, " and start_id is ", o.start_id,
                             ", expected an end that is neither of the others");
  }
  return o;
}

template <class T>
Seq2Seq<T>::Seq2Seq(const Scope<T>& scope, Options options)
    : path_(scope.path().empty() ? "Seq2Seq" : scope.path()),
      options_(checked(path_, std::move(options))),
      source_(scope / (options_.tying == Tying::all ? "embedding" : "source_embedding"),
              scope / "source_positions",
              detail::input_options<T>(options_, options_.source_vocabulary)),
      target_(
          options_.tying == Tying::all ? (scope / "embedding").reuse() : scope / "target_embedding",
          scope / "target_positions",
          detail::input_options<T>(options_, options_.target_vocabulary)),
      encoder_(detail::stack<TransformerEncoder<T>>(scope / "encoder", options_.encoder_layers,
                                                    detail::block_options<T>(options_))),
      encoder_norm_(scope / "encoder_norm", detail::block_options<T>(options_),
                    options_.final_norms.value_or(options_.normalize_first)),
      decoder_(detail::stack<TransformerDecoder<T>>(scope / "decoder", options_.decoder_layers,
                                                    detail::block_options<T>(options_))),
      decoder_norm_(scope / "decoder_norm", detail::block_options<T>(options_),
                    options_.final_norms.value_or(options_.normalize_first)),
      output_(scope / "output", detail::output_options<T>(options_, options_.target_vocabulary)) {}

template <class T>
Var<T> Seq2Seq<T>::encode(const Tokens<T>& source, const OptionalArray<bool>& mask,
                          std::optional<bool> training) const {
  detail::check_tokens(path_, "source", source);
  if (mask && mask->shape() != source.shape()) {
    detail::fail<ShapeError>(path_, "source mask does not fit: mask is ", to_string(mask->shape()),
                             ", expected ", to_string(source.shape()),
                             ", the shape of the source; true means that a token exists");
  }
  Var<T> x = source_(source, 0, training);
  for (const auto& layer : encoder_) x = layer(x, {.padding_mask = mask, .training = training});
  return encoder_norm_(x);
}

template <class T>
auto Seq2Seq<T>::decode(const Tokens<T>& target, const Var<T>& memory,
                        const OptionalArray<bool>& mask, std::optional<bool> training,
                        Caches* caches, bool only_last, bool scores_wanted) const -> WithScores {
  detail::check_tokens(path_, "target", target);
  WithScores result;
  const Tokens<T> joined =
      target.in(detail::join(path_.c_str(), target.node_ref(), memory.node_ref()));
  Var<T> x = target_(joined, caches == nullptr ? 0 : caches->front().length(), training);
  for (std::size_t i = 0; i < decoder_.size(); ++i) {
    const typename TransformerDecoder<T>::CallOptions call{
        .encoder_padding_mask = mask,
        .training = training,
        .cache = caches == nullptr ? nullptr : &(*caches)[i]};
    if (!scores_wanted) {
      x = decoder_[i](x, memory, call);
    } else {
      auto all = decoder_[i].with_scores(x, memory, call);
      x = std::move(all.output);
      result.cross_scores.push_back(std::move(all.cross_scores));
    }
  }
  result.logits = output_(decoder_norm_(only_last ? detail::last_position(x) : x), target_.table());
  return result;
}

template <class T>
Var<T> Seq2Seq<T>::logits(const Tokens<T>& target, const Var<T>& memory,
                          const OptionalArray<bool>& mask, std::optional<bool> training) const {
  return decode(target, memory, mask, training, nullptr, false, false).logits;
}

template <class T>
auto Seq2Seq<T>::with_scores(const Tokens<T>& target, const Var<T>& memory,
                             const OptionalArray<bool>& mask, std::optional<bool> training) const
    -> WithScores {
  return decode(target, memory, mask, training, nullptr, false, true);
}

template <class T>
Var<T> Seq2Seq<T>::loss(const Tokens<T>& source, const OptionalArray<bool>& mask,
                        const Tokens<T>& target_in, const ArrayArg<std::int64_t>& target_out,
                        const TokenLossOptions& options) const {
  detail::check_targets(path_, "target_in", target_in, "target_out", target_out);
  const auto context = detail::join(path_.c_str(), source.node_ref(), target_in.node_ref());
  return detail::token_loss(logits(target_in, encode(source.in(context), mask), mask), target_out,
                            options_.pad_id, options);
}

template <class T> auto Seq2Seq<T>::caches(std::size_t length) const -> Caches {
  return Caches(decoder_.size(), DecoderCache<T>(length));
}

template <class T>
Var<T> Seq2Seq<T>::step(const Tokens<T>& tokens, const Var<T>& memory,
                        const OptionalArray<bool>& mask, Caches& caches) const {
  detail::check_caches(path_, decoder_.size(), caches);
  return detail::restoring(
      &caches, [&] { return decode(tokens, memory, mask, false, &caches, true, false).logits; });
}

template <class T>
auto Seq2Seq<T>::step_with_scores(const Tokens<T>& tokens, const Var<T>& memory,
                                  const OptionalArray<bool>& mask, Caches& caches) const
    -> WithScores {
  detail::check_caches(path_, decoder_.size(), caches);
  return detail::restoring(
      &caches, [&] { return decode(tokens, memory, mask, false, &caches, true, true); });
}

template <class T>
Var<T> Seq2Seq<T>::next(const Tokens<T>& target, const Var<T>& memory,
                        const OptionalArray<bool>& mask) const {
  return decode(target, memory, mask, false, nullptr, true, false).logits;
}

template <class T>
auto Seq2Seq<T>::next_with_scores(const Tokens<T>& target, const Var<T>& memory,
                                  const OptionalArray<bool>& mask) const -> WithScores {
  return decode(target, memory, mask, false, nullptr, true, true);
}

template <class T> void Seq2Seq<T>::build() const {
  const Array<std::int64_t> one(Shape{1, 1}, 0);
  const Var<T> memory = encode(one, {}, false);
  static_cast<void>(logits(one, memory, {}, false));
}

XTAPE_CLASS_FOR_REALS(Seq2Seq);

}  // namespace xtape
