// Sums over ranks in small buckets, which are sent while backward goes on.
#include "run/ranks.hpp"
#include "run/reducer.hpp"

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/training.hpp"

#include <mutex>

using namespace xtape;
using namespace xtape::test;
using detail::GradientTree;
using detail::Reducer;

namespace {

using T = float;

/// On the thread of a rank, where Catch's macros may not be.
void must(bool good, const std::string& what) {
  if (!good) throw std::logic_error(what);
}

/// Passes everything on, and counts the exchanges that are started.
class Counting final : public Team {
 public:
  explicit Counting(Team& team, bool waits = false) : team_(team), waits_(waits) {}
  [[nodiscard]] int rank() const noexcept override { return team_.rank(); }
  [[nodiscard]] int size() const noexcept override { return team_.size(); }
  void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) override {
    team_.exchange(send, receive);
  }
  std::unique_ptr<Pending> start(int channel, std::span<const Outgoing> send,
                                 std::span<const Incoming> receive) override {
    if (channel > 0) ++started;
    return waits_ ? Team::start(channel, send, receive) : team_.start(channel, send, receive);
  }
  void fail(const std::string& why) noexcept override { team_.fail(why); }
  int started = 0;

 private:
  Team& team_;
  bool waits_;
};

/// Layers of unequal sizes. One has no gradients, and others only those of some shards.
struct Model {
  explicit Model(bool build_all = true) {
    for (int i = 0; i < 6; ++i) {
      const auto units = static_cast<std::size_t>(i == 2 ? 40 : 7);
      layers.push_back(std::make_unique<Dense<T>>(params.scope() / std::to_string(i),
                                                  Dense<T>::Options{.units = units}));
    }
    Var<T> x(Array<T>(Shape{1, 7}, T(1)));
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (build_all || i != 5) x = (*layers[i])(x);
    }
    spare.build({11}, "ones", {});
  }
  /// The gradients of a shard. Backward may be watched.
  Gradients<T> of(std::int64_t shard, Reducer<T>* watch, bool late = false) const {
    Tape<T> tape;
    Var<T> x = tape.input(random_array<T>({3, 7}, static_cast<std::uint64_t>(shard) + 1));
    bool again = false;
    for (std::size_t i = 0; i < 5; ++i) {
      if (i == 3) {
        x = checkpoint(
            [&](const Var<T>& u) {
              const bool other = late && std::exchange(again, true);
              return (*layers[3])(u) + (other ? sum(spare.value_for(u)) : Var<T>(T(0)));
            },
            x);
      } else if (i != 4 || shard % 3 != 1) {
        x = (*layers[i])(x);
      }
    }
    return tape.backward(sum(square(x)), {.watch = watch});
  }
  Params<T> params{ParamsOptions{4}};
  std::vector<std::unique_ptr<Dense<T>>> layers;
  Parameter<T> spare = params.scope().reserve("spare");
};

/// Adds a batch of a rank. Shards from `missing` on have no examples. The team learns of an error before
/// the reducer ends, as in fit and in ShardSum.
std::optional<Gradients<T>> add_up(const Model& model, Reducer<T>& reducer, Team& team,
                                   std::int64_t count, std::int64_t missing, bool late = false) {
  return detail::ending_team(&team, [&] {
    const Shards shards = shards_of(&team, count);
    GradientTree<T> tree(shards);
    bool begun = false;
    for (std::int64_t v = shards.begin; v < std::min(shards.end, missing); ++v) {
      begun = v + 1 == shards.end;
      if (begun) {
        reducer.begin(tree.take_before(v));
        reducer.end(model.of(v, &reducer, late));
      } else {
        tree.add(v, model.of(v, nullptr));
      }
    }
    if (!begun) {
      reducer.begin(tree.take());
      reducer.end();
    }
    std::string mine;
    reducer.put(mine);
    const auto all = team.all_gather(mine);
    for (int r = 0; r < team.size(); ++r) {
      detail::Reader reader(all[static_cast<std::size_t>(r)]);
      reducer.get(reader, r);
    }
    return reducer.result();
  });
}

void must_equal(const std::optional<Gradients<T>>& sum, const std::map<std::string, Array<T>>& all,
                const Params<T>& params, const std::string& where) {
  must(sum && sum->size() == all.size(), where);
  auto entry = sum->entries().begin();
  for (const auto& p : params.all()) {
    if (!sum->contains(p)) continue;
    must(entry++->slot->path == p.path(), "the order of parameters");
    must(same_bits((*sum)[p].value(), all.at(p.path())), where + p.path());
  }
}

}  // namespace

TEST_CASE("buckets of any size have the bits of one process, in backward or after it",
          "[threads]") {
  for (const std::int64_t count : {4, 6, 8}) {
    for (const std::int64_t missing : {count, count - 1}) {
      const Model model;
      GradientTree<T> tree({count, 0, count});
      for (std::int64_t v = 0; v < missing; ++v) tree.add(v, model.of(v, nullptr));
      std::map<std::string, Array<T>> whole;
      const auto nodes = tree.take();
      for (const auto& entry : nodes.front().sum->entries()) {
        whole.emplace(entry.slot->path, entry.gradient.value());
      }
      for (const int ranks : {1, 2, 3, 4, 6, 8}) {
        for (const std::size_t most : {1U, 64U, 1000U}) {
          if (ranks > count) continue;
          const std::string where = std::to_string(ranks) + " ranks, buckets of " +
                                    std::to_string(most) + ", " + std::to_string(count) +
                                    " shards ";
          run_threads(ranks, [&](Team& threads) {
            Counting team(threads, most == 64);  // a team that only knows exchange()
            const Model own;
            Reducer<T> reducer(own.params, team, count, most);
            for (int repeat = 0; repeat < 3; ++repeat) {
              must_equal(add_up(own, reducer, team, count, missing), whole, own.params, where);
            }
          });
        }
      }
    }
  }
}

TEST_CASE("gradients are sent while backward goes on", "[threads]") {
  run_threads(2, [](Team& threads) {
    Counting team(threads);
    const Model model;
    Reducer<T> reducer(model.params, team, 2, 64);
    must(add_up(model, reducer, team, 2, 2).has_value(), "the parameters are agreed on");
    const int first = std::exchange(team.started, 0);
    reducer.begin({});
    auto rest = model.of(team.rank(), &reducer);
    must(team.started > first / 4, "some before the end of backward");
    must(!rest.contains(model.layers[3]->kernel()), "taken");
    reducer.end(std::move(rest));
    std::string mine;
    reducer.put(mine);
    for (int r = 0; r < 2; ++r) {
      detail::Reader reader(mine);
      reducer.get(reader, r);
    }
    must(reducer.result().has_value(), "result");
    must(team.started == first, "as many as after it");
  });
}

TEST_CASE("parameters may be frozen or built between sums, alike on all ranks", "[threads]") {
  run_threads(3, [](Team& team) {
    Model model(false);
    Reducer<T> reducer(model.params, team, 3, 64);
    const auto sum = [&] { return add_up(model, reducer, team, 3, 3); };
    for (int i = 0; i < 2; ++i) must(sum()->contains(model.layers[1]->kernel()), "trained");
    model.params.set_trainable("1", false);
    for (int i = 0; i < 2; ++i) must(!sum()->contains(model.layers[1]->kernel()), "frozen");
    model.params.set_trainable("1", true);
    static_cast<void>((*model.layers[5])(Var<T>(Array<T>(Shape{1, 7}, T(1)))));
    for (int i = 0; i < 2; ++i) must(sum()->contains(model.layers[1]->kernel()), "again");
  });
  for (const int step : {0, 2}) {  // before and after the ranks agreed
    const std::string text = error_of<TeamError>([&] {
      run_threads(3, [&](Team& team) {
        Model model;
        Reducer<T> reducer(model.params, team, 3, 64);
        for (int i = 0; i < 3; ++i) {
          if (i == step && team.rank() == 1) model.params.set_trainable("1", false);
          static_cast<void>(add_up(model, reducer, team, 3, 3));
        }
      });
    });
    INFO(text);
    CHECK(contains(text, "team: other parameters: rank "));
    CHECK(contains(text, "built and trainable ones, expected the 1"));
  }
}

TEST_CASE("a sum that was given up is not begun again", "[threads]") {
  run_threads(2, [](Team& team) {
    Model model;
    Reducer<T> reducer(model.params, team, 2, 64);
    const auto sum = [&] { static_cast<void>(add_up(model, reducer, team, 2, 2)); };
    for (int i = 0; i < 2; ++i) sum();
    if (team.rank() == 1) model.params.set_trainable("1", false);
    must(contains(error_of<TeamError>(sum), "other parameters"), "refused");
    model.params.set_trainable("1", true);
    // Pieces of the first one may be under way: they are not taken for those of the next.
    must(contains(error_of<TeamError>(sum), "team: a sum was given up"), "given up");
  });
}

TEST_CASE("parameters of other shapes are other parameters", "[threads]") {
  const std::string text = error_of<TeamError>([] {
    run_threads(2, [](Team& team) {
      Params<T> params;
      const Parameter<T> p = params.scope().reserve("p");
      p.build(team.rank() == 0 ? Shape{2, 3} : Shape{3, 2}, "ones", {});
      Reducer<T> reducer(params, team, 2);
      reducer.begin({});
      reducer.end();
      std::string mine;
      reducer.put(mine);
      const auto all = team.all_gather(mine);
      for (int r = 0; r < 2; ++r) {
        detail::Reader reader(all[static_cast<std::size_t>(r)]);
        reducer.get(reader, r);
      }
    });
  });
  CHECK(contains(text, "team: other parameters: rank "));
}

TEST_CASE("a gradient that comes after its parameter was complete is refused", "[threads]") {
  const std::string text = error_of<TapeError>([] {
    run_threads(2, [](Team& team) {
      const Model model;
      Reducer<T> reducer(model.params, team, 2, 64);
      static_cast<void>(add_up(model, reducer, team, 2, 2));
      static_cast<void>(add_up(model, reducer, team, 2, 2, team.rank() == 1));
    });
  });
  INFO(text);
  CHECK(contains(text, "backward: late gradient: 'spare' was complete and got another one"));
}
