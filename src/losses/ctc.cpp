#include "losses/reduction.hpp"

#include "base/instantiate.hpp"

#include <xtape/ops/indexing.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

namespace xtape {

using detail::fail;

namespace {

constexpr const char* kOp = "ctc";
// The logarithm of an impossible probability. It is finite, so that the difference of two is no NaN.
// Its exp() is 0 beside any possible one.
constexpr double kImpossible = -1e30;

using Ids = Array<std::int64_t>;
using Lengths = std::vector<std::size_t>;

Lengths lengths_of(const char* option, const std::vector<std::int64_t>& given, std::size_t batch,
                   std::size_t longest) {
  if (given.size() != batch) {
    fail<ShapeError>(kOp, option, " does not fit: there are ", given.size(), ", expected ", batch,
                     ", one per sample");
  }
  Lengths out;
  for (const std::int64_t length : given) {
    if (length < 0 || static_cast<std::size_t>(length) > longest) {
      fail<ValueError>(kOp, option, " out of range: a length is ", length, ", expected 0 to ",
                       longest);
    }
    out.push_back(static_cast<std::size_t>(length));
  }
  return out;
}

/// Returns the number of labels before the first blank, for each sample.
Lengths before_blank(const Ids& labels, std::int64_t blank) {
  Lengths out;
  for (std::size_t b = 0; b < labels.shape()[0]; ++b) {
    std::size_t n = 0;
    while (n < labels.shape()[1] && labels(b, n) != blank) ++n;
    for (std::size_t i = n; i < labels.shape()[1]; ++i) {
      if (labels(b, i) == blank) continue;
      fail<ValueError>(kOp, "label after a blank: element (", b, ", ", i, ") of labels is ",
                       labels(b, i), ", expected ", blank,
                       " after the first blank; give label_lengths for another padding");
    }
    out.push_back(n);
  }
  return out;
}

/// The states of a sample, which are its labels with blanks around each, and the steps between them.
struct Paths {
  Ids ids;            // (batch, states): the class of each state
  Array<bool> first;  // (batch, states): where a path may begin
  Array<bool> skip;   // (batch, states): where the blank before may be left out
  Array<bool> last;   // (batch, states): where a path may end
};

Paths paths_of(const Ids& labels, const Lengths& lengths, const Lengths& frames,
               const Array<bool>& counts, std::size_t classes, std::int64_t blank) {
  const std::size_t batch = labels.shape()[0];
  const std::size_t states = 2 * labels.shape()[1] + 1;
  const Shape shape{batch, states};
  Paths p{detail::full<std::int64_t>(shape, blank), detail::full<bool>(shape, false),
          detail::full<bool>(shape, false), detail::full<bool>(shape, false)};
  for (std::size_t b = 0; b < batch; ++b) {
    p.first(b, 0) = true;
    if (!counts.data()[b]) continue;
    std::size_t needed = lengths[b];
    for (std::size_t i = 0; i < lengths[b]; ++i) {
      const std::int64_t label = labels(b, i);
      if (label < 0 || label >= static_cast<std::int64_t>(classes) || label == blank) {
        fail<ValueError>(kOp, "label out of range: element (", b, ", ", i, ") of labels ",
                         to_string(labels.shape()), " is ", label, ", expected 0 to ", classes - 1,
                         " but not the blank ", blank);
      }
      p.ids(b, 2 * i + 1) = label;
      const bool repeated = i > 0 && labels(b, i - 1) == label;
      if (repeated) ++needed;  // there must be a blank between
      p.skip(b, 2 * i + 1) = i > 0 && !repeated;
    }
    if (frames[b] < needed || frames[b] == 0) {
      fail<ValueError>(kOp, "too few frames: sample ", b, " has ", frames[b],
                       ", expected at least ", std::max<std::size_t>(needed, 1), " for its ",
                       lengths[b], " labels; leave it out with a mask");
    }
    p.last(b, 2 * lengths[b]) = true;
    if (lengths[b] > 0) p.first(b, 1) = p.last(b, 2 * lengths[b] - 1) = true;
  }
  return p;
}

}  // namespace

template <class T>
Var<T> ctc(const Var<T>& logits, const ArrayArg<std::int64_t>& labels, const CtcOptions& options) {
  if (logits.rank() != 3 || labels.dimension() != 2 || labels.shape()[0] != logits.shape()[0]) {
    fail<ShapeError>(kOp, "shapes differ: logits is ", to_string(logits.shape()), ", labels is ",
                     to_string(labels.shape()),
                     ", expected (batch, time, classes) and (batch, length)");
  }
  const std::size_t batch = logits.shape()[0];
  const std::size_t time = logits.shape()[1];
  const std::size_t classes = logits.shape()[2];
  const auto last_class = static_cast<std::int64_t>(classes) - 1;
  detail::check_option(options.blank >= 0 && options.blank <= last_class, kOp, "blank",
                       options.blank, "0 to ", last_class);
  const LossOptions common{options.mask, options.sample_weight, options.reduction};
  detail::check_samples(kOp, common, Shape{batch});
  const Lengths frames = options.input_lengths
                             ? lengths_of("input_lengths", *options.input_lengths, batch, time)
                             : Lengths(batch, time);
  const Lengths lengths =
      options.label_lengths
          ? lengths_of("label_lengths", *options.label_lengths, batch, labels.shape()[1])
          : before_blank(labels, options.blank);
  const Array<bool> counts = options.mask ? *options.mask : detail::full<bool>(Shape{batch}, true);
  const Paths path = paths_of(labels, lengths, frames, counts, classes, options.blank);
  const std::size_t states = path.ids.shape()[1];
  if (time == 0) return detail::reduced(Var<T>(detail::full<T>(Shape{batch}, T(0))), common);

  Array<bool> there(Shape{batch, time});  // frames that count
  Ids ids(Shape{batch, time, states});
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t t = 0; t < time; ++t) {
      there(b, t) = counts.data()[b] && t < frames[b];
      for (std::size_t s = 0; s < states; ++s) ids(b, t, s) = path.ids(b, s);
    }
  }
  // The logarithm of the probability of each state's class, (batch, time, states).
  const Var<T> emitted = take_along_axis(log_softmax(detail::kept(logits, there)), ids, -1);
  const auto frame = [&](std::size_t t) {
    return slice(emitted, {Slice::all(), Slice::at(static_cast<std::int64_t>(t))});
  };
  const Var<T> impossible(static_cast<T>(kImpossible));
  const auto later = [&](const Var<T>& x, std::size_t by) {
    if (states <= by) return broadcast_to(impossible, x.shape());
    const Var<T> cut = slice(x, {Slice::all(), Slice::range(0, -static_cast<int>(by))});
    return pad(cut, {{0, 0}, {by, 0}}, kImpossible);
  };
  // alpha[b, s] = log(probability of all beginnings that end in state s) (Graves et al. 2006).
  Var<T> alpha = where(path.first, frame(0), impossible);
  for (std::size_t t = 1; t < time && batch > 0; ++t) {
    const Var<T> skipped = where(path.skip, later(alpha, 2), impossible);
    const Var<T> next = logsumexp(stack<T>({alpha, later(alpha, 1), skipped}, 0), {0}) + frame(t);
    Array<bool> goes_on(Shape{batch, 1});
    for (std::size_t b = 0; b < batch; ++b) goes_on(b, 0) = there(b, t);
    alpha = where(goes_on, next, alpha);
  }
  return detail::reduced(-logsumexp(where(path.last, alpha, impossible), {-1}), common);
}
XTAPE_FOR_REALS(ctc);

}  // namespace xtape
