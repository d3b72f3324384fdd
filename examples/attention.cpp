// The two examples in the documentation of Keras's MultiHeadAttention: shapes before any computation,
// with -1 for an unknown batch, and shapes of calls with a batch of 3.
#include <xtape/xtape.hpp>

#include <cstdio>

namespace xp = xtape;
using Shape = std::vector<std::ptrdiff_t>;

namespace {

bool right = true;

void show(const char* what, const Shape& shape, const Shape& documented) {
  std::printf("%-22s (", what);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    std::printf(i == 0 ? "%td" : ", %td", shape[i]);
  }
  std::printf(")\n");
  right = right && shape == documented;
}

Shape shape_of(const xp::Var<float>& x) { return {x.shape().begin(), x.shape().end()}; }

xp::Var<float> random(const xp::Shape& shape) {
  xp::RandomStream stream(1, 0);
  xp::Array<float> x(shape);
  for (float& value : x) value = static_cast<float>(stream.normal());
  return x;
}

}  // namespace

int main() {
  xp::Params<float> params({.seed = 1});

  // Cross-attention over one axis, with the scores.
  const xp::MultiHeadAttention<float> cross(params.scope() / "cross",
                                            {.num_heads = 2, .key_dim = 2});
  show("output", cross.compute_output_shape({-1, 8, 16}, {-1, 4, 16}), {-1, 8, 16});
  show("scores", cross.compute_scores_shape({-1, 8, 16}, {-1, 4, 16}), {-1, 2, 8, 4});
  const auto [output, scores] = cross.with_scores(random({3, 8, 16}), random({3, 4, 16}));
  show("output, batch 3", shape_of(output), {3, 8, 16});
  show("scores, batch 3", shape_of(scores), {3, 2, 8, 4});

  // Self-attention over axes 2 and 3 of inputs of rank 5.
  const xp::MultiHeadAttention<float> image(
      params.scope() / "image", {.num_heads = 2, .key_dim = 2, .attention_axes = {2, 3}});
  const Shape input{-1, 5, 3, 4, 16};
  show("image output", image.compute_output_shape(input, input), input);
  const xp::Var<float> x = random({3, 5, 3, 4, 16});
  show("image output, batch 3", shape_of(image(x, x)), {3, 5, 3, 4, 16});

  return right ? 0 : 1;
}
