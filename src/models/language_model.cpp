#include <xtape/models/language_model.hpp>

#include "base/instantiate.hpp"
#include "models/options.hpp"

namespace xtape {

static LanguageModelOptions checked(const std::string& path, LanguageModelOptions o) {
  detail::check_positive_integer(path, "vocabulary", o.vocabulary);
  detail::check_positive_integer(path, "layers", o.layers);
  detail::check_common<float>(path, o);
  detail::check_option(o.tying != Tying::all, path, "tying", "Tying::all",
                       "none or output; there is one embedding");
  const auto check = [&](const char* name, std::optional<std::int64_t> id) {
    if (id) detail::check_id(path, name, *id, o.vocabulary);
  };
  check("pad_id", o.pad_id);
  check("start_id", o.start_id);
  check("end_id", o.end_id);
  if (o.end_id && (o.pad_id == o.end_id || o.start_id == o.end_id)) {
    detail::fail<ValueError>(
        path, "ids are not distinct: end_id is ", *o.end_id,
        " and so is pad_id or start_id, expected an end that is neither of them");
  }
  return o;
}

template <class T>
LanguageModel<T>::LanguageModel(const Scope<T>& scope, Options options)
    : path_(scope.path().empty() ? "LanguageModel" : scope.path()),
      options_(checked(path_, std::move(options))),
      input_(scope / "embedding", scope / "positions",
             detail::input_options<T>(options_, options_.vocabulary)),
      decoder_(detail::stack<TransformerDecoder<T>>(scope / "decoder", options_.layers,
                                                    detail::block_options<T>(options_),
                                                    CrossAttention::no)),
      norm_(scope / "norm", detail::block_options<T>(options_),
            options_.final_norm.value_or(options_.normalize_first)),
      output_(scope / "output", detail::output_options<T>(options_, options_.vocabulary)) {}

template <class T>
Var<T> LanguageModel<T>::decode(const Tokens<T>& ids, std::optional<bool> training,
                                Caches* caches) const {
  detail::check_tokens(path_, "ids", ids);
  Var<T> x = input_(ids, caches == nullptr ? 0 : caches->front().length(), training);
  for (std::size_t i = 0; i < decoder_.size(); ++i) {
    x = decoder_[i](x,
                    {.training = training, .cache = caches == nullptr ? nullptr : &(*caches)[i]});
  }
  return x;
}

template <class T>
Var<T> LanguageModel<T>::logits(const Tokens<T>& ids, std::optional<bool> training) const {
  return output_(norm_(decode(ids, training, nullptr)), input_.table());
}

template <class T>
Var<T> LanguageModel<T>::loss(const Tokens<T>& ids, const ArrayArg<std::int64_t>& next,
                              const TokenLossOptions& options) const {
  detail::check_targets(path_, "ids", ids, "next", next);
  return detail::token_loss(logits(ids), next, options_.pad_id, options);
}

template <class T> auto LanguageModel<T>::caches(std::size_t length) const -> Caches {
  return Caches(decoder_.size(), DecoderCache<T>(length));
}

template <class T> Var<T> LanguageModel<T>::step(const Tokens<T>& tokens, Caches& caches) const {
  detail::check_caches(path_, decoder_.size(), caches);
  return detail::restoring(&caches, [&] { return last_logits(decode(tokens, false, &caches)); });
}

template <class T> Var<T> LanguageModel<T>::next(const Tokens<T>& ids) const {
  return last_logits(decode(ids, false, nullptr));
}

template <class T> Var<T> LanguageModel<T>::last_logits(const Var<T>& x) const {
  return output_(norm_(detail::last_position(x)), input_.table());
}

template <class T> void LanguageModel<T>::build() const {
  static_cast<void>(logits(Array<std::int64_t>(Shape{1, 1}, 0), false));
}

XTAPE_CLASS_FOR_REALS(LanguageModel);

}  // namespace xtape
