#include "support/catch.hpp"

#include <atomic>
#include <chrono>
#include <iterator>
#include <list>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <thread>

using namespace xtape;

namespace {

using Indices = std::vector<std::size_t>;

Indices copy(std::span<const std::size_t> indices) { return {indices.begin(), indices.end()}; }

template <class Range> std::vector<Indices> walk(Range&& range) {
  std::vector<Indices> all;
  for (Indices& batch : range) all.push_back(std::move(batch));
  return all;
}

Indices flat(const std::vector<Indices>& batches) {
  Indices all;
  for (const Indices& b : batches) all.insert(all.end(), b.begin(), b.end());
  return all;
}

Indices sorted(Indices values) {
  std::sort(values.begin(), values.end());
  return values;
}

Indices numbers(std::size_t count) {
  Indices all(count);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

/// Lengths 1 to 40, the same each time.
Indices some_lengths(std::size_t count) {
  Indices lengths(count);
  RandomStream stream(5, 0);
  for (std::size_t& l : lengths) l = 1 + stream.below(40);
  return lengths;
}

std::size_t padding(const std::vector<Indices>& batches, const Indices& lengths) {
  std::size_t sum = 0;
  for (const Indices& b : batches) {
    std::size_t longest = 0;
    for (const std::size_t i : b) longest = std::max(longest, lengths[i]);
    for (const std::size_t i : b) sum += longest - lengths[i];
  }
  return sum;
}

}  // namespace

TEST_CASE("an epoch has every example once, in an order of its own") {
  const BatchOrder order(103, {.batch_size = 10, .seed = 3});
  const auto first = order.epoch(0);
  CHECK(order.steps(0) == 11);
  CHECK(first.size() == 11);
  CHECK(first.back().size() == 3);
  CHECK(flat(first) != numbers(103));
  CHECK(sorted(flat(first)) == numbers(103));
  CHECK(order.epoch(0) == first);
  CHECK(flat(order.epoch(1)) != flat(first));
  CHECK(BatchOrder(103, {.batch_size = 10, .seed = 4}).epoch(0) != first);
  CHECK(flat(BatchOrder(103, {.batch_size = 10, .shuffle = false}).epoch(7)) == numbers(103));
  // Resumed runs rely on this order. It was computed in Python by the published algorithm.
  CHECK(flat(BatchOrder(10, {.seed = 1}).epoch(2)) == Indices{7, 8, 9, 4, 1, 5, 3, 6, 0, 2});
}

TEST_CASE("every example is equally likely at every place") {
  constexpr std::size_t kCount = 5;
  constexpr int kEpochs = 5000;
  const BatchOrder order(kCount, {.seed = 11});
  std::vector<std::vector<int>> seen(kCount, std::vector<int>(kCount));
  for (int e = 0; e < kEpochs; ++e) {
    const Indices all = flat(order.epoch(e));
    for (std::size_t place = 0; place < kCount; ++place) ++seen[place][all[place]];
  }
  for (const auto& place : seen) {  // 1000 expected, deviation 28
    for (const int times : place) CHECK(std::abs(times - kEpochs / 5) < 5 * 28);
  }
}

TEST_CASE("drop_last leaves the incomplete batch out, and other examples each epoch") {
  const BatchOrder order(103, {.batch_size = 10, .drop_last = true});
  CHECK(order.steps(0) == 10);
  CHECK(order.epoch(0).size() == 10);
  CHECK(order.epoch(0).back().size() == 10);
  CHECK(sorted(flat(order.epoch(0))) != sorted(flat(order.epoch(1))));
  CHECK(BatchOrder(100, {.batch_size = 10, .drop_last = true}).steps(0) == 10);

  // With buckets neither the longest nor the shortest are left out more often than others.
  const Indices lengths = numbers(23);
  const BatchOrder buckets(lengths, {.batch_size = 10, .drop_last = true, .bucket_window = 23});
  std::vector<int> missing(23, 0);
  for (int e = 0; e < 2300; ++e) {
    std::vector<int> here(23, 0);
    for (const std::size_t i : flat(buckets.epoch(e))) here[i] = 1;
    for (std::size_t i = 0; i < 23; ++i) missing[i] += 1 - here[i];
  }
  for (const int times : missing) CHECK(std::abs(times - 300) < 5 * 17);
}

TEST_CASE("buckets hold similar lengths, and still every example once") {
  const Indices lengths = some_lengths(1000);
  const BatchOptions options{.batch_size = 16, .seed = 2, .bucket_window = 320};
  const BatchOrder buckets(lengths, options);
  const auto batches = buckets.epoch(0);
  CHECK(batches.size() == 63);
  CHECK(buckets.steps(0) == 63);
  CHECK(sorted(flat(batches)) == numbers(1000));
  const std::size_t plain = padding(BatchOrder(lengths, {.batch_size = 16}).epoch(0), lengths);
  CHECK(padding(batches, lengths) * 8 < plain);
  CHECK(buckets.epoch(1) != batches);
  // Batches come mixed: not the short ones first.
  std::size_t rises = 0;
  for (std::size_t i = 1; i < batches.size(); ++i) {
    rises += lengths[batches[i][0]] > lengths[batches[i - 1][0]] ? 1U : 0U;
  }
  CHECK(rises > 20);
  CHECK(rises < 42);
  // Not shuffled, windows stay where they are.
  const auto still =
      BatchOrder(lengths, {.batch_size = 10, .shuffle = false, .bucket_window = 100}).epoch(0);
  for (std::size_t i = 0; i < still.size(); ++i) {
    for (const std::size_t example : still[i]) CHECK(example / 100 == i / 10);
  }
}

TEST_CASE("a budget of tokens holds with and without buckets, and is used") {
  const Indices lengths = some_lengths(500);
  for (const std::size_t window : {std::size_t{0}, std::size_t{200}}) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{7}}) {
      const BatchOrder order(lengths,
                             {.batch_size = size, .max_tokens = 200, .bucket_window = window});
      const auto batches = order.epoch(3);
      CHECK(order.steps(3) == batches.size());
      CHECK(sorted(flat(batches)) == numbers(500));
      std::size_t tokens = 0;
      for (const Indices& b : batches) {
        std::size_t longest = 0;
        for (const std::size_t i : b) longest = std::max(longest, lengths[i]);
        CHECK(longest * b.size() <= 200);
        if (size != 0) CHECK(b.size() <= size);
        tokens += longest * b.size();
      }
      if (size == 0) CHECK(tokens > batches.size() * 140);
    }
  }
  CHECK_THROWS_WITH(BatchOrder({3, 201, 5}, {.max_tokens = 200}),
                    "Batches: example over the budget: the length of example 1 is 201, expected at "
                    "most max_tokens 200; shorten or leave out the example");
  const std::vector<int> examples{3, 1, 2};
  CHECK_THROWS_WITH(batches_of(
                        examples, [](int n) { return n - 2; }, {.bucket_window = 3},
                        [](const Selection<int>& s) { return s.size(); }),
                    ContainsSubstring("negative length: that of example 1 is -1"));
  // No overflow where lengths are huge.
  const std::size_t huge = SIZE_MAX / 2 + 1;
  CHECK(BatchOrder({3, 200, 5}, {.max_tokens = 200}).steps(0) == 2);
  CHECK(BatchOrder({huge, huge, huge}, {.max_tokens = SIZE_MAX}).steps(0) == 3);
  CHECK(BatchOrder(Indices{0, 0, 4}, {.max_tokens = 12, .shuffle = false}).steps(0) == 1);
  // drop_last: 4 fill the budget of 8, the fifth has room beside it.
  const Indices two(5, 2);
  CHECK(BatchOrder(two, {.batch_size = 0, .max_tokens = 8, .drop_last = true}).steps(0) == 1);
  CHECK(BatchOrder(two, {.batch_size = 0, .max_tokens = 8}).steps(0) == 2);
}

TEST_CASE("options are checked before anything is made") {
  CHECK_THROWS_WITH(BatchOrder(0, {}), ContainsSubstring("no examples"));
  CHECK_THROWS_WITH(BatchOrder(Indices{}, {}), ContainsSubstring("no examples"));
  CHECK_THROWS_WITH(BatchOrder(5, {.batch_size = 0}), ContainsSubstring("batch_size is 0"));
  CHECK_THROWS_WITH(BatchOrder(5, {.bucket_window = 100}),
                    ContainsSubstring("pass the examples' lengths"));
  CHECK_THROWS_WITH(BatchOrder(5, {.max_tokens = 100}), ContainsSubstring("max_tokens is 100"));
  CHECK_THROWS_WITH(BatchOrder(5, {.prefetch = static_cast<std::size_t>(-1)}),
                    ContainsSubstring("prefetch out of range"));
  CHECK_THROWS_WITH(BatchOrder(5, {.drop_last = true}),
                    ContainsSubstring("drop_last leaves nothing"));
  CHECK_THROWS_AS(BatchOrder({1, 1}, {.max_tokens = 100, .drop_last = true}), ValueError);
  const Batches<Indices> batches(5, {.batch_size = 2}, copy);
  CHECK_THROWS_AS(batches.steps(-1), ValueError);
  CHECK_THROWS_AS(batches.epoch(-1), ValueError);
  CHECK_THROWS_WITH(batches.epoch(0, 4), ContainsSubstring("first is 4, expected 0 to 3"));
}

TEST_CASE("prefetching changes no batch, from any batch on", "[threads]") {
  const Indices lengths = some_lengths(200);
  const auto batches = [&](std::size_t prefetch) {
    return Batches(lengths, {.max_tokens = 300, .bucket_window = 64, .prefetch = prefetch}, copy);
  };
  const auto whole = walk(batches(0).epoch(4));
  CHECK(whole == batches(0).order().epoch(4));
  for (const std::size_t prefetch : {0U, 1U, 2U, 7U, 1000U}) {
    for (std::size_t first = 0; first <= whole.size(); ++first) {
      auto rest = batches(prefetch).epoch(4, first);  // outlives its Batches
      CHECK(rest.size() == whole.size() - first);
      CHECK(walk(rest) ==
            std::vector<Indices>(whole.begin() + static_cast<std::ptrdiff_t>(first), whole.end()));
      CHECK(walk(rest).empty());  // once
    }
  }
}

TEST_CASE("no more batches are made ahead than asked for", "[threads]") {
  for (const int prefetch : {0, 1, 3}) {
    std::atomic<int> made = 0;
    const Batches batches(40, {.batch_size = 1, .prefetch = static_cast<std::size_t>(prefetch)},
                          [&made](std::span<const std::size_t> /*indices*/) { return ++made; });
    int taken = 0;
    for (const int number : batches.epoch(0)) {
      ++taken;
      CHECK(number == taken);
      for (int wait = 0; wait < 2000 && made < std::min(40, taken + prefetch); ++wait) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      CHECK(made == std::min(40, taken + prefetch));
      if (taken > 5) break;
    }
  }
}

TEST_CASE("what make throws arrives at its batch, and ends the range", "[threads]") {
  for (const std::size_t prefetch : {0U, 1U, 4U}) {
    const Batches batches(10, {.batch_size = 1, .shuffle = false, .prefetch = prefetch},
                          [](std::span<const std::size_t> indices) {
                            if (indices[0] == 3) throw std::out_of_range("three");
                            return indices[0];
                          });
    auto epoch = batches.epoch(0);
    auto it = epoch.begin();
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(it != epoch.end());
      CHECK(*it == i);
      if (i < 2) ++it;
    }
    CHECK_THROWS_WITH(++it, "three");
    CHECK(it == epoch.end());
    CHECK(epoch.begin() == epoch.end());
    auto at_once = batches.epoch(0, 3);
    CHECK_THROWS_AS(at_once.begin(), std::out_of_range);
    CHECK(at_once.begin() == at_once.end());
  }
}

TEST_CASE("leaving early stops the thread", "[threads]") {
  std::atomic<int> made = 0;
  std::atomic<bool> gone = false;
  {
    const Batches batches(1000, {.batch_size = 1, .prefetch = 2},
                          [&](std::span<const std::size_t> /*indices*/) {
                            CHECK(!gone);
                            return ++made;
                          });
    for (const int number : batches.epoch(0)) {
      if (number == 2) break;
    }
    CHECK(made <= 4);
    static_cast<void>(batches.epoch(1));  // never begun
    auto epoch = batches.epoch(2);
    static_cast<void>(epoch.begin());
    auto moved = std::move(epoch);  // a running one moves
    CHECK(moved.begin() != moved.end());
    moved = batches.epoch(3);
  }
  gone = true;
  CHECK(made <= 8);
}

TEST_CASE("several epochs at once, of one Batches, in several threads", "[threads]") {
  const Batches batches(300, {.batch_size = 4, .seed = 9}, [](std::span<const std::size_t> i) {
    Array<float> values = detail::full<float>({i.size()}, 1.0F);  // freed by the other thread
    for (std::size_t k = 0; k < i.size(); ++k) values(k) = static_cast<float>(i[k]);
    return values;
  });
  std::vector<float> sums(3, 0.0F);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < sums.size(); ++t) {
    threads.emplace_back([&, t] {
      for (const Array<float>& batch : batches.epoch(static_cast<std::int64_t>(t))) {
        for (const float v : batch) sums[t] += v;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const float sum : sums) CHECK(sum == 299.0F * 150.0F);
}

TEST_CASE("any input range of examples serves") {
  struct Word {
    std::string text;
    [[nodiscard]] std::size_t length() const { return text.size(); }
  };
  const std::list<Word> words = {{"a"}, {"bbbb"}, {"cc"}, {"dddd"}, {"e"}};
  const auto join = [](const Selection<Word>& selection) {
    std::string all;
    for (const Word& w : selection) all += w.text;
    return all;
  };
  const auto batches = batches_of(words, &Word::length,
                                  {.batch_size = 2, .shuffle = false, .bucket_window = 5}, join);
  std::vector<std::string> seen;
  for (const std::string& s : batches.epoch(0)) seen.push_back(s);
  CHECK(seen == std::vector<std::string>{"ae", "ccbbbb", "dddd"});

  struct Stream {  // passes once
    std::istringstream in{"3 1 4 1 5"};
    std::istream_iterator<int> begin() { return std::istream_iterator<int>(in); }
    static std::istream_iterator<int> end() { return {}; }
  };
  const auto sums = batches_of(Stream(), {.batch_size = 5}, [](const Selection<int>& s) {
    return std::accumulate(s.begin(), s.end(), 0);
  });
  CHECK(*sums.epoch(0).begin() == 14);

  std::vector<std::unique_ptr<int>> owners;  // given away, so not copied
  owners.push_back(std::make_unique<int>(7));
  const auto owned =
      batches_of(std::move(owners), {}, [](const Selection<std::unique_ptr<int>>& s) {
        return *s[0] + static_cast<int>(s.index(0));
      });
  CHECK(*owned.epoch(0).begin() == 7);
  static_assert(std::ranges::input_range<Epoch<int>>);
}

TEST_CASE("batches may be of a type that only moves, and are moved out") {
  const Batches batches(
      3, {.batch_size = 1, .shuffle = false, .prefetch = 2},
      [](std::span<const std::size_t> i) { return std::make_unique<std::size_t>(i[0]); });
  std::vector<std::unique_ptr<std::size_t>> kept;
  for (auto& batch : batches.epoch(0)) kept.push_back(std::move(batch));
  REQUIRE(kept.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(*kept[i] == i);
}

TEST_CASE("padding fills up, and says where it did") {
  const Padded p = pad({{5, 6, 7}, {}, {8}}, -1);
  CHECK((p.ids == Array<std::int64_t>{{5, 6, 7}, {-1, -1, -1}, {8, -1, -1}}));
  CHECK((p.mask == Array<bool>{{true, true, true}, {false, false, false}, {true, false, false}}));
  CHECK((p.lengths == Array<std::int64_t>{3, 0, 1}));
  CHECK(pad({{}, {}}).ids.shape() == Shape{2, 0});
  CHECK_THROWS_WITH(pad({}), "pad: no sequences: their number is 0, expected 1 or more");
}

TEST_CASE("shards of a batch are its examples in order, each in one of them") {
  const Batches batches(some_lengths(23), {.batch_size = 7, .seed = 3, .bucket_window = 14}, copy);
  const auto whole = batches.order().epoch(2);
  for (const std::int64_t count : {1, 2, 3, 7, 9}) {
    std::vector<Indices> joined(whole.size());
    for (std::int64_t part = 0; part < 3; ++part) {  // as three ranks have them
      const Shards mine{count, count * part / 3, count * (part + 1) / 3};
      auto range = batches.epoch(2, 0, mine);
      std::size_t seen = 0;
      for (auto at = range.begin(); at != range.end(); ++at, ++seen) {
        const ShardPlace place = at.place();
        CHECK((mine.begin <= place.shard && place.shard < mine.end));
        CHECK(place.examples == at->size());
        REQUIRE(!at->empty());
        const Indices& all = whole[place.batch];
        const std::size_t from =
            all.size() * static_cast<std::size_t>(place.shard) / static_cast<std::size_t>(count);
        CHECK(std::equal(at->begin(), at->end(), all.begin() + static_cast<std::ptrdiff_t>(from)));
        joined[place.batch].insert(joined[place.batch].end(), at->begin(), at->end());
      }
      CHECK(seen == range.size());
    }
    CHECK(flat(joined).size() == 23);
    if (count <= 3) {
      for (std::size_t i = 0; i < whole.size(); ++i) CHECK(sorted(joined[i]) == sorted(whole[i]));
    }
  }
  auto later = batches.epoch(2, 3, {2, 1, 2});
  CHECK(later.begin().place().batch == 3);
  CHECK(batches.epoch(2, 4, {2, 0, 2}).size() == 0);
  auto plain = batches.epoch(2, 1);
  CHECK(plain.begin().place().batch == 1);
  CHECK(plain.begin().place().examples == whole[1].size());
  CHECK_THROWS_WITH(batches.epoch(0, 0, {0, 0, 0}), ContainsSubstring("count of shards is 0"));
  CHECK_THROWS_WITH(batches.epoch(0, 0, {2, 1, 3}), ContainsSubstring("they are 1 to 3"));
  CHECK_THROWS_WITH(batches.epoch(0, 5, {2, 0, 2}), ContainsSubstring("first is 5"));
}
