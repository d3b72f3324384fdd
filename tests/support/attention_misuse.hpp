#pragma once
// Misuses of attention, as rows of a table: what, the exception's type, the call, and the parts of the
// error's text.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>
#include <optional>
#include <typeinfo>
#include <vector>

namespace xtape::test::misuse {

using Mha = MultiHeadAttention<double>;
using V = Var<double>;
using Shapes = Mha::PartialShape;

/// The objects that every misuse finds. None of them may change.
struct World {
  Tape<double> tape{{.training = false, .seed = 1}};
  Params<double> params{{.seed = 1}};
  KeyValueCache<double> empty{4};
  KeyValueCache<double> held{4};  // two positions of a batch of 2

  World() {
    held.append(V(random_array<double>({2, 2, 2, 2}, 1)), V(random_array<double>({2, 2, 2, 2}, 2)));
  }

  V input(const Shape& shape) { return tape.input(random_array<double>(shape, 3)); }
};

inline Array<bool> all(const Shape& shape) { return Array<bool>(shape, true); }

struct Misuse {
  const char* what;
  const std::type_info& type;
  std::function<void(World&)> call;
  std::vector<const char*> parts;  // argument, value, rule
};

inline Mha::Options with(const std::function<void(Mha::Options&)>& change) {
  Mha::Options o{.num_heads = 2, .key_dim = 2};
  change(o);
  return o;
}

/// Options the constructor refuses.
inline Misuse option(const char* what, std::function<void(Mha::Options&)> change,
                     std::vector<const char*> parts) {
  parts.push_back("enc/mha");
  return {what, typeid(ValueError),
          [change](World& w) { Mha(w.params.scope() / "enc" / "mha", with(change)); },
          std::move(parts)};
}

/// The same for names, which are looked up where the option is set.
inline Misuse name(const char* what, std::function<void(Mha::Options&)> change,
                   std::vector<const char*> parts) {
  return {what, typeid(ValueError), [change](World&) { with(change); }, std::move(parts)};
}

/// Shapes of query and value (and key) that no call may have.
inline Misuse shapes(
    const char* what, const Shape& query, const Shape& value, std::vector<const char*> parts,
    const std::optional<Shape>& key = {},
    std::function<void(Mha::Options&)> change = [](Mha::Options&) {}) {
  parts.push_back("mha: ");
  return {what, typeid(ShapeError),
          [=](World& w) {
            const Mha layer((w.params.scope() / "mha").reuse(), with(change));
            const auto partial = [](const Shape& s) { return Shapes(s.begin(), s.end()); };
            const Shapes k = key ? partial(*key) : Shapes{};
            // The shape functions know it too, in the same words.
            const auto q = partial(query), v = partial(value);
            const std::string said = error_of<ShapeError>(
                [&] { static_cast<void>(layer.compute_output_shape(q, v, k)); });
            CHECK(said == error_of<ShapeError>(
                              [&] { static_cast<void>(layer.compute_scores_shape(q, v, k)); }));
            Mha::CallOptions call;
            if (key) call.key = w.input(*key);
            CHECK(said == error_of<ShapeError>([&] {
                    static_cast<void>(layer(w.input(query), w.input(value), call));
                  }));
            layer.build(query, value, key);
          },
          std::move(parts)};
}

inline Misuse axes(const char* what, const Axes& which, std::vector<const char*> parts) {
  const Shape shape{2, 3, 4, 5};
  return shapes(what, shape, shape, std::move(parts), {},
                [which](Mha::Options& o) { o.attention_axes = which; });
}

/// A call on query (2, 3, 4) and value (2, 5, 4), or others.
inline Misuse call(const char* what, std::function<Mha::CallOptions(World&)> make,
                   std::vector<const char*> parts, const std::type_info& type = typeid(ShapeError),
                   const Shape& query = {2, 3, 4}, const Shape& value = {2, 5, 4},
                   const Axes& attention_axes = {}) {
  parts.push_back("mha");
  return {what, type,
          [=](World& w) {
            const Mha layer((w.params.scope() / "mha").reuse(),
                            with([&](Mha::Options& o) { o.attention_axes = attention_axes; }));
            const Mha::CallOptions options = make(w);
            // Caches are for values without a tape.
            const auto input = [&](const Shape& shape) {
              return options.cache == nullptr ? w.input(shape) : V(random_array<double>(shape, 3));
            };
            static_cast<void>(layer.with_scores(input(query), input(value), options));
          },
          std::move(parts)};
}

inline Misuse mask(const char* what, const Shape& shape, std::vector<const char*> parts,
                   const Shape& query = {2, 3, 4}, const Shape& value = {2, 5, 4},
                   const Axes& attention_axes = {}) {
  parts.insert(parts.end(), {"attention_mask does not fit", "true means attend"});
  return call(
      what, [shape](World&) { return Mha::CallOptions{.attention_mask = all(shape)}; },
      std::move(parts), typeid(ShapeError), query, value, attention_axes);
}

/// Runs each, and looks at what it throws and at what it leaves. How many there were.
inline int check(const std::vector<Misuse>& table) {
  int count = 0;
  for (const Misuse& m : table) {
    INFO(m.what);
    World w;
    const std::size_t recorded = w.tape.size();
    const Array<double> keys = w.held.keys().value();
    std::string text = "nothing was thrown";
    try {
      m.call(w);
    } catch (const Error& e) {
      text = e.what();
      INFO("thrown: " << typeid(e).name() << ", expected: " << m.type.name());
      CHECK(typeid(e) == m.type);
    }
    INFO("it says: " << text);
    CHECK(contains(text, "expected"));
    for (const char* part : m.parts) {
      INFO("expected part: " << part);
      CHECK(contains(text, part));
    }
    CHECK(w.tape.size() == recorded);
    CHECK(w.params.count() == 0);
    CHECK(w.empty.length() == 0);
    CHECK(difference(w.held.keys().value(), keys) == 0);
    ++count;
  }
  return count;
}

}  // namespace xtape::test::misuse
