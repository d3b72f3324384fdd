// Sums of gradients in a loop of one's own.
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <atomic>
#include <bit>
#include <mutex>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::size_t kSize = 37;

/// Gradients of some of three parameters, with numbers that do not add exactly.
template <class T> Gradients<T> of_shard(const Params<T>& params, std::int64_t shard) {
  Gradients<T> g;
  const auto number = static_cast<std::uint64_t>(shard);
  set_gradient(g, params.at("a"), random_array<T>({kSize}, 100 + number));
  if (shard % 3 == 1) set_gradient(g, params.at("b"), random_array<T>({2, 3}, 200 + number));
  return g;
}

/// On the thread of a rank, where Catch's macros may not be.
void must(bool good, const std::string& what) {
  if (!good) throw std::logic_error(what);
}

template <class T> struct Three {
  Params<T> params;
  Three() {
    for (const char* name : {"a", "b", "c"}) static_cast<void>(params.scope().reserve(name));
    params.at("a").build({kSize}, "zeros", {});
    params.at("b").build({2, 3}, "zeros", {});
    params.at("c").build({1}, "zeros", {});
  }
};

}  // namespace

/// Passes everything on, counts what this rank sends, and keeps its first reason to end the team.
class CountingTeam final : public Team {
 public:
  explicit CountingTeam(Team& team) : team_(team) {}
  [[nodiscard]] int rank() const noexcept override { return team_.rank(); }
  [[nodiscard]] int size() const noexcept override { return team_.size(); }
  void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) override {
    CountingTeam::start(0, send, receive)->wait();
  }
  std::unique_ptr<Pending> start(int channel, std::span<const Outgoing> send,
                                 std::span<const Incoming> receive) override {
    messages += send.size();
    for (const Outgoing& piece : send) bytes += piece.bytes.size();
    return team_.start(channel, send, receive);
  }
  void fail(const std::string& why) noexcept override {
    if (reason.empty()) reason = why;
    team_.fail(why);
  }

  std::size_t messages = 0, bytes = 0;
  std::string reason;

 private:
  Team& team_;
};

TEMPLATE_TEST_CASE("the sum has the same bits for any number of ranks", "[threads]", float,
                   double) {
  using T = TestType;
  for (const std::int64_t shards : {1, 2, 4, 6, 8, 13, 16}) {
    std::optional<Gradients<T>> first;
    Three<T> owner;  // of the parameters that `first` names
    for (const int ranks : {1, 2, 3, 4, 5, 8, 16}) {
      if (ranks > shards) continue;
      std::mutex mutex;
      const std::string where =
          std::to_string(shards) + " shards, " + std::to_string(ranks) + " ranks";
      run_threads(ranks, [&](Team& team) {
        Three<T> three;
        ShardSum<T> sum(three.params, shards, ranks == 1 ? nullptr : &team);
        for (int repeat = 0; repeat < 2; ++repeat) {
          for (std::int64_t v = sum.mine().begin; v < sum.mine().end; ++v) {
            if (shards > 4 && (v == 2 || v == 3)) continue;  // shards without examples
            sum.add(v, of_shard(three.params, v), static_cast<double>(1 + v % 5));
          }
          const Gradients<T> mean = sum.finish();
          must(!mean.contains(three.params.at("c")), where);
          const std::lock_guard lock(mutex);
          if (!first) {
            first.emplace();
            for (const char* name : {"a", "b"}) {
              if (mean.contains(three.params.at(name))) {
                set_gradient(*first, owner.params.at(name), mean.at(name).value());
              }
            }
          }
          must(mean.size() == first->size(), where);
          for (const char* name : {"a", "b"}) {
            if (!mean.contains(three.params.at(name))) continue;
            must(mean.at(name).value() == first->at(name).value(), where);
          }
        }
      });
    }
    // And it is the weighted mean.
    Array<T> expected(Shape{kSize}, T(0));
    double weight = 0;
    for (std::int64_t v = 0; v < shards; ++v) {
      if (shards > 4 && (v == 2 || v == 3)) continue;
      const auto w = static_cast<double>(1 + v % 5);
      weight += w;
      expected += of_shard(owner.params, v).at("a").value() * static_cast<T>(w);
    }
    expected /= static_cast<T>(weight);
    CHECK(difference(expected, first->at("a").value()) < (sizeof(T) == 4 ? 1e-6 : 1e-15));
  }
}

TEST_CASE("a shard that does not fit is refused") {
  Three<double> three;
  CHECK_THROWS_AS(ShardSum<double>(three.params, 0), ValueError);
  ShardSum<double> sum(three.params, 4);
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(sum.finish()); }),
                 "ShardSum: nothing to add: the weights sum to 0"));
  sum.add(1, of_shard(three.params, 1), 2);
  CHECK(contains(error_of<ValueError>([&] { sum.add(1, of_shard(three.params, 1), 2); }),
                 "shard is 1, expected 2 to 3, ascending"));
  CHECK(contains(error_of<ValueError>([&] { sum.add(4, of_shard(three.params, 1), 2); }),
                 "shard is 4"));
  CHECK(contains(error_of<ValueError>([&] { sum.add(2, of_shard(three.params, 1), -1); }),
                 "weight is -1"));
  CHECK(difference(sum.finish().at("a").value(), of_shard(three.params, 1).at("a").value()) == 0);
  CHECK(contains(error_of<ValueError>([&] {
                   run_threads(3, [&](Team& team) { ShardSum<double>(three.params, 2, &team); });
                 }),
                 "ShardSum: fewer shards than ranks: shards is 2, expected at least 3"));
}

TEST_CASE("a weight that the type does not hold leaves the sum as it was") {
  Three<float> three;
  ShardSum<float> sum(three.params, 2);
  CHECK_THROWS_AS(sum.add(0, of_shard(three.params, 1), 1e300), ValueError);
  sum.add(0, of_shard(three.params, 1), 1);
  sum.add(1, of_shard(three.params, 1), 1);
  CHECK(difference(sum.finish().at("b").value(), of_shard(three.params, 1).at("b").value()) == 0);
}

TEST_CASE("a sum moves twice the gradients, in few messages", "[threads]") {
  constexpr std::size_t kMany = 60000;
  for (const int ranks : {2, 3, 4, 8, 16}) {
    for (const std::int64_t shards : {16, 48}) {
      std::mutex mutex;
      std::size_t messages = 0, bytes = 0;  // of the rank that sends most
      run_threads(ranks, [&](Team& team) {
        CountingTeam counting(team);
        Params<float> params;
        const auto w = params.scope().reserve("w");
        w.build({kMany}, "zeros", {});
        ShardSum<float> sum(params, shards, &counting);
        for (std::int64_t v = sum.mine().begin; v < sum.mine().end; ++v) {
          Gradients<float> g;
          set_gradient(g, w, Array<float>(Shape{kMany}, 1.0F));
          sum.add(v, std::move(g), 1);
        }
        static_cast<void>(sum.finish());
        const std::lock_guard lock(mutex);
        messages = std::max(messages, counting.messages);
        bytes = std::max(bytes, counting.bytes);
      });
      INFO(ranks << " ranks, " << shards << " shards");
      const auto p = static_cast<std::size_t>(ranks);
      const std::size_t ideal = 2 * (p - 1) * kMany * sizeof(float) / p;
      const std::size_t rounds = std::bit_width(p - 1);
      if (ranks != 3 && shards == 16) {  // halving
        CHECK(bytes < ideal + 4000);
        CHECK(messages == 4 * rounds);  // half of them are the small ones before
      } else {                          // segments: as many times as a rank has nodes
        CHECK(bytes < 5 * ideal);
        CHECK(messages <= 2 * rounds + 6 * (p - 1));
      }
    }
  }
}

// A team of processes ends with the first reason that it hears: that must not be a consequence.
TEST_CASE("a sum that fails tells the team why, before its pieces are given up", "[threads]") {
  std::atomic<int> told = 0;
  const std::string text = error_of<TeamError>([&] {
    run_threads(3, [&](Team& ranks) {
      CountingTeam team(ranks);
      Three<float> model;
      const auto sums = [&] {
        ShardSum<float> sum(model.params, 3, &team);
        for (int i = 0; i < 3; ++i) {
          if (i == 2 && team.rank() == 1) model.params.set_trainable("b", false);
          sum.add(team.rank(), of_shard(model.params, team.rank()), 1);
          static_cast<void>(sum.finish());
        }
      };
      const std::string own = error_of<TeamError>(sums);
      if (team.reason == own) ++told;
      throw TeamError(own);
    });
  });
  CHECK(told == 3);
  CHECK(contains(text, "other parameters: rank "));
}

TEST_CASE("the gradient of a parameter can be set") {
  Three<double> three;
  Gradients<double> g = of_shard(three.params, 1);
  g.scale(0.5);
  const Array<double> b = g.at("b").value();
  set_gradient(g, three.params.at("a"), Array<double>(Shape{kSize}, 7.0));
  CHECK(g.size() == 2);
  CHECK(g.at("a").value()(3) == 7);  // not scaled
  CHECK(difference(g.at("b").value(), b) == 0);
  CHECK(contains(error_of<ShapeError>(
                     [&] { set_gradient(g, three.params.at("a"), Array<double>(Shape{1}, 7.0)); }),
                 "the gradient of 'a' is (1,), expected (37,)"));
}
