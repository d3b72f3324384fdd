// Options as JSON text: there and back, Keras's own texts, and what is refused.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using Mha = MultiHeadAttention<double>;

std::string config_of(const Mha::Options& options, const std::string& name = "mha") {
  Params<double> params;
  return Mha(params.scope() / "encoder" / name, options).get_config();
}

Mha::Options full() {
  return {
      .num_heads = 6,
      .key_dim = 4,
      .value_dim = 3,
      .dropout = 0.125,
      .use_bias = false,
      .output_shape = {5, 2},
      .attention_axes = {-2},
      .kernel_initializer =
          initializers::VarianceScaling{.scale = 0.1, .mode = "fan_out", .distribution = "uniform"},
      .bias_initializer = initializers::Constant{.value = 0.1},
      .seed = 18446744073709551615ULL,
      .trainable = false,
      .use_gate = true,
      .sliding_window = 3,
      .num_key_value_heads = 2,
      .rotary = RotaryOptions{.max_wavelength = 500.5, .start = -2, .interleaved = true},
      .kernel_regularizer = regularizers::L1L2{.l1 = 0.1, .l2 = 1e-300},
      .bias_regularizer = regularizers::L2{.l2 = 1.0 / 3},
      .activity_regularizer = regularizers::OrthogonalRegularizer{.factor = 0.25},
      .kernel_constraint = constraints::MinMaxNorm{0.1, 0.7, 0.3, {0, -1}},
      .bias_constraint = "unit_norm"};
}

/// Every entry of `part` that is not null is in `whole`, and equal; a list of one axis is that axis.
bool includes(const Json& whole, const Json& part) {
  if (part.is_null()) return true;
  if (part.is_array() && part.size() == 1 && whole == part[0]) return true;
  if (!part.is_object()) return whole == part;
  for (const auto& [key, value] : part.items()) {
    if (value.is_null()) continue;
    if (!whole.is_object() || !whole.contains(key) || !includes(whole.at(key), value)) return false;
  }
  return true;
}

/// A minimal config with one entry set or added.
std::string with(const std::string& key, const Json& value) {
  Json json = {{"num_heads", 2}, {"key_dim", 3}};
  json[key] = value;
  return json.dump();
}

std::string refusal(const std::string& text) {
  return error_of<ValueError>([&] { static_cast<void>(Mha::from_config(text)); });
}

}  // namespace

TEST_CASE("options go through a config and come back the same") {
  const Mha::Options options = full();
  const std::string text = config_of(options);
  const Mha::Options back = Mha::from_config(text);
  CHECK(back.num_heads == options.num_heads);
  CHECK(back.key_dim == options.key_dim);
  CHECK(back.value_dim == options.value_dim);
  CHECK(back.dropout == options.dropout);
  CHECK(back.use_bias == options.use_bias);
  CHECK(back.output_shape.values() == options.output_shape.values());
  CHECK(back.attention_axes == options.attention_axes);
  CHECK(back.kernel_initializer.description() == options.kernel_initializer.description());
  CHECK(back.bias_initializer.description() == options.bias_initializer.description());
  CHECK(back.seed == options.seed);
  CHECK(back.trainable == options.trainable);
  CHECK(back.use_gate == options.use_gate);
  CHECK(back.sliding_window == options.sliding_window);
  CHECK(back.num_key_value_heads == options.num_key_value_heads);
  CHECK(back.rotary->max_wavelength == options.rotary->max_wavelength);
  CHECK(back.rotary->start == options.rotary->start);
  CHECK(back.rotary->interleaved == options.rotary->interleaved);
  CHECK(back.kernel_regularizer.description() == options.kernel_regularizer.description());
  CHECK(back.bias_regularizer.description() == options.bias_regularizer.description());
  CHECK(back.activity_regularizer.description() == options.activity_regularizer.description());
  CHECK(back.kernel_constraint.description() == options.kernel_constraint.description());
  CHECK(back.bias_constraint.description() == options.bias_constraint.description());
  CHECK(config_of(back) == text);
  CHECK(Json::parse(text).at("name") == "mha");
  CHECK(MultiHeadAttention<float>::from_config(text).num_heads == 6);

  const std::string least = config_of({.num_heads = 2, .key_dim = 3});
  CHECK(config_of(Mha::from_config(least)) == least);
  CHECK(config_of(Mha::from_config(R"({"num_heads": 2, "key_dim": 3})")) == least);
  CHECK_FALSE(Json::parse(least).contains("num_key_value_heads"));  // Keras does not know it
  CHECK_FALSE(Mha::from_config(least).kernel_regularizer);
  CHECK_FALSE(Mha::from_config(least).bias_constraint);
}

TEST_CASE("a layer from a config computes what the first one does") {
  const auto outputs = [](const Mha::Options& options) {
    Params<double> params({.seed = 4});
    const Mha layer(params.scope() / "mha", options);
    Tape<double> tape({.training = true, .seed = 3});
    const Var<double> x = tape.watch(random_array<double>({2, 3, 5, 4}, 1));
    const Var<double> y = layer(x, x);
    const Var<double> total = sum(square(y)) + tape.penalties(params);
    SGD<double> sgd({.learning_rate = 0.1});
    const Array<double> value = y.value();
    sgd.step(params, tape.backward(total), {.allow_missing = true});
    Tape<double> again({.seed = 3});
    return std::pair{value, layer(again.input(x.value()), x.value()).value()};
  };
  Mha::Options options = full();
  options.trainable = true;
  options.output_shape = {5};
  options.activity_regularizer = regularizers::L1{.l1 = 0.25};
  options.kernel_constraint = constraints::MinMaxNorm{0.1, 0.7, 0.3, {0, 1}};
  Params<double> params;
  const auto first = outputs(options);
  const auto second =
      outputs(Mha::from_config(Mha(params.scope() / "other", options).get_config()));
  CHECK(difference(first.first, second.first) == 0);
  CHECK(difference(first.second, second.second) == 0);
  CHECK(difference(first.first, first.second) > 1e-6);  // the step changed something
}

TEST_CASE("the whole catalogue goes through a config") {
  std::vector<Initializer> all = {
      initializers::Constant{.value = -2.5},
      initializers::Identity{.gain = 0.5},
      initializers::RandomUniform{.minval = -1, .maxval = 2},
      initializers::RandomNormal{.mean = 1, .stddev = 2},
      initializers::TruncatedNormal{.mean = 3, .stddev = 4},
      initializers::VarianceScaling{.scale = 2, .mode = "fan_avg", .distribution = "normal"},
      initializers::VarianceScaling{
          .scale = 2, .mode = "fan_in", .distribution = "untruncated_normal"},
      initializers::Orthogonal{.gain = 1.5},
      initializers::WithConvolutionFans{"he_uniform"},
      initializers::WithConvolutionFans{initializers::Constant{.value = 2}}};
  for (const char* name :
       {"zeros", "ones", "constant", "identity", "random_uniform", "random_normal",
        "truncated_normal", "variance_scaling", "glorot_uniform", "glorot_normal", "he_uniform",
        "he_normal", "lecun_uniform", "lecun_normal", "orthogonal", "Zeros", "normal"}) {
    all.emplace_back(name);
  }
  for (const Initializer& one : all) {
    INFO(one.description().class_name);
    Mha::Options options{.num_heads = 2, .key_dim = 3, .kernel_initializer = one};
    const Initializer back = Mha::from_config(config_of(options)).kernel_initializer;
    CHECK(back.description() == one.description());
    RandomStream a(1, 2), b(1, 2);
    const Shape shape{4, 6};
    CHECK(difference(one(shape, {3, 5}, a), back(shape, {3, 5}, b)) == 0);
  }
  const Array<double> w = random_array<double>({4, 3}, 1);
  for (const Regularizer<double>& one : std::initializer_list<Regularizer<double>>{
           "l1", "l2", "l1l2", "orthogonal_regularizer", regularizers::L1{.l1 = 0},
           regularizers::L2{.l2 = 3}, regularizers::L1L2{.l1 = 1, .l2 = 2},
           regularizers::OrthogonalRegularizer{.factor = 2,
           .mode = regularizers::OrthogonalMode::columns}}) {
    INFO(one.description().class_name);
    Mha::Options options{.num_heads = 2, .key_dim = 3, .kernel_regularizer = one};
    const auto back = Mha::from_config(config_of(options)).kernel_regularizer;
    CHECK(back.description() == one.description());
    CHECK(static_cast<bool>(back) == static_cast<bool>(one));
    CHECK(back(Var<double>(w)).item() == one(Var<double>(w)).item());
  }
  for (const Constraint<double>& one : std::initializer_list<Constraint<double>>{
           "max_norm", "unit_norm", "non_neg", "min_max_norm", constraints::MaxNorm{0.5, {1}},
           constraints::UnitNorm{{0, 1}}, constraints::MinMaxNorm{0.5, 0.75, 0.25, {1}}}) {
    INFO(one.description().class_name);
    Mha::Options options{.num_heads = 2, .key_dim = 3, .kernel_constraint = one};
    const auto back = Mha::from_config(config_of(options)).kernel_constraint;
    CHECK(back.description() == one.description());
    CHECK(difference(back(w), one(w)) == 0);
  }
}

TEST_CASE("configs of Keras 3 and tf-keras are understood, and said again") {
  int configs = 0;
  for (const char* file : {"attention_configs", "attention_configs_tf"}) {
    for (const Json& c : golden(file)) {
      Json theirs = c.at("config");
      INFO(theirs.dump());
      const Mha::Options options = Mha::from_config(theirs.dump());
      const Json ours = Json::parse(config_of(options));
      theirs.erase("softmax_robust_masking");  // tf-keras's, without a meaning here
      if (theirs["dtype"].is_string()) theirs.erase("dtype");
      CHECK(includes(ours, theirs));
      ++configs;
    }
  }
  CHECK(configs == 35);
  const auto o = Mha::from_config(golden("attention_configs")[1]["config"].dump());
  CHECK(o.num_heads == 4);
  CHECK(o.key_dim == 8);
  CHECK(o.value_dim == 5);
  CHECK(o.dropout == 0.1);
  CHECK_FALSE(o.use_bias);
  CHECK(o.output_shape.values() == std::vector<std::ptrdiff_t>{3, 2});
  CHECK(o.attention_axes == Axes{2, -3});
  CHECK(o.sliding_window == 3);
  CHECK(o.use_gate);
  CHECK(o.seed == 7U);
  CHECK_FALSE(o.trainable);
}

TEST_CASE("names stand for objects, and one number for a list") {
  const auto o = Mha::from_config(
      R"({"num_heads": 2, "key_dim": 3, "kernel_initializer": "he_normal", "bias_regularizer": "l2",
          "bias_constraint": "non_neg", "output_shape": 7, "attention_axes": 1, "dtype": "float32",
          "kernel_regularizer": {"class_name": "l1"}, "rotary": {}})");
  CHECK(o.kernel_initializer.description().class_name == "HeNormal");
  CHECK(o.bias_regularizer.description().class_name == "L2");
  CHECK(o.kernel_regularizer.description().class_name == "L1");
  CHECK(o.bias_constraint.description().class_name == "NonNeg");
  CHECK(o.output_shape.values() == std::vector<std::ptrdiff_t>{7});
  CHECK(o.attention_axes == Axes{1});
  CHECK(o.rotary->max_wavelength == 10000.0);
}

TEST_CASE("what cannot be written is refused, naming the option") {
  const auto refuse = [](const Mha::Options& options, const char* name) {
    const std::string text =
        error_of<ValueError>([&] { static_cast<void>(config_of(options, "mine")); });
    INFO(text);
    CHECK(contains(text, "encoder/mine: get_config: "));
    CHECK(contains(text, name));
    CHECK(contains(text, "cannot be written"));
  };
  const auto mine = [](const Var<double>& w) { return sum(w); };
  const auto clipped = [](const Array<double>& w) { return w; };
  const auto drawn = [](const Shape& shape, Fans, RandomStream&) { return Array<double>(shape); };
  Mha::Options o{.num_heads = 2, .key_dim = 3};
  const auto changed = [&](auto change) {
    Mha::Options c = o;
    change(c);
    return c;
  };
  refuse(changed([&](auto& c) { c.kernel_initializer = drawn; }), "kernel_initializer");
  refuse(changed([&](auto& c) { c.bias_initializer = initializers::WithConvolutionFans{drawn}; }),
         "bias_initializer");
  refuse(changed([&](auto& c) {
           c.kernel_initializer = initializers::FromArray{Array<double>(Shape{2, 3})};
         }),
         "kernel_initializer");
  refuse(changed([&](auto& c) { c.kernel_regularizer = mine; }), "kernel_regularizer");
  refuse(changed([&](auto& c) { c.bias_regularizer = mine; }), "bias_regularizer");
  refuse(changed([&](auto& c) { c.activity_regularizer = mine; }), "activity_regularizer");
  refuse(changed([&](auto& c) { c.kernel_constraint = clipped; }), "kernel_constraint");
  refuse(changed([&](auto& c) { c.bias_constraint = clipped; }), "bias_constraint");
}

TEST_CASE("bad configs are refused, naming key, value and rule") {
  struct Bad {
    std::string text;
    std::vector<std::string> parts;
  };
  const Json custom = {{"module", "builtins"}, {"class_name", "function"}, {"config", "mine"}};
  const auto made = [](const char* name, const Json& config) {
    return Json{{"class_name", name}, {"config", config}};
  };
  const std::vector<Bad> all = {
      {"", {"no JSON"}},
      {"{", {"no JSON"}},
      {R"({"num_heads": 2, "key_dim": 1e999})", {"no JSON"}},
      {"\xff\xfe", {"no JSON"}},
      {"[1, 2]", {"no config", "[1,2]", "expected an object"}},
      {"null", {"no config", "null"}},
      {std::string(100000, '['), {"nested too deeply"}},
      {R"({"num_heads": 2, "key_dim": 3, "num_heads": 4})", {"repeated key", "num_heads"}},
      {R"({"num_heads": 2, "key_dim": 3, "rotary": {"start": 1, "start": 1}})",
       {"repeated key", "start"}},
      {R"({"key_dim": 3})", {"num_heads is null", "integer"}},
      {R"({"num_heads": 2})", {"key_dim is null", "integer"}},
      {with("num_heads", "2"), {"num_heads is \"2\"", "integer"}},
      {with("num_heads", 2.5), {"num_heads is 2.5", "integer"}},
      {with("num_heads", 1e300), {"num_heads is 1e+300", "integer"}},
      {with("num_heads", 18446744073709551615ULL), {"num_heads is 18446744073709551615"}},
      {with("key_dim", true), {"key_dim is true", "integer"}},
      {with("value_dim", 0), {"value_dim is 0", "positive integer"}},
      {with("sliding_window", -1), {"sliding_window is -1", "positive integer"}},
      {with("num_key_value_heads", Json::array({2})), {"num_key_value_heads is [2]"}},
      {with("dropout", "0.1"), {"dropout is \"0.1\"", "a number"}},
      {with("use_bias", 1), {"use_bias is 1", "true or false"}},
      {with("trainable", "yes"), {"trainable is \"yes\""}},
      {with("use_gate", Json::object()), {"use_gate is {}"}},
      {with("output_shape", 8.0), {"output_shape is 8.0", "a list of integers"}},
      {with("output_shape", {3, "2"}), {"output_shape is [3,\"2\"]"}},
      {with("attention_axes", "2"), {"attention_axes is \"2\""}},
      {with("attention_axes", {1, 4294967298LL}), {"attention_axes is [1,4294967298]"}},
      {with("seed", -1), {"seed is -1", "0 or more"}},
      {with("seed", made("SeedGenerator", Json::object())), {"seed is {"}},
      {with("name", 3), {"name is 3", "a string"}},
      {with("dtype", "bfloat16"), {"dtype is \"bfloat16\"", "float32 or float64"}},
      {with("dtype", made("DTypePolicy", {{"name", "mixed_float16"}})), {"mixed_float16"}},
      {with("head_count", 3), {"unknown key", "\"head_count\" is 3", "num_heads"}},
      {with("kernel_initializer", 3), {"kernel_initializer is 3", "a name"}},
      {with("kernel_initializer", "he"), {"kernel_initializer: ", "'he'", "he_normal"}},
      {with("kernel_initializer", made("He", nullptr)), {"kernel_initializer: ", "'He'"}},
      {with("kernel_initializer", custom), {"kernel_initializer.module", "builtins"}},
      {with("kernel_initializer", Json::object()), {"kernel_initializer.class_name is null"}},
      {with("kernel_initializer", made("HeNormal", 7)), {"kernel_initializer.config is 7"}},
      {with("kernel_initializer", made("HeNormal", {{"seed", 7}})),
       {"kernel_initializer.config.seed is 7", "Params"}},
      {with("kernel_initializer", made("HeNormal", {{"scale", 7}})),
       {"unknown key", "kernel_initializer.config.\"scale\""}},
      {with("kernel_initializer", made("VarianceScaling", {{"mode", "fan"}})),
       {"kernel_initializer: ", "mode is 'fan'", "fan_in"}},
      {with("kernel_initializer", made("VarianceScaling", {{"scale", 0}})),
       {"kernel_initializer: ", "scale is 0"}},
      {with("kernel_initializer", made("RandomNormal", {{"stddev", "a"}})),
       {"kernel_initializer.config.stddev is \"a\""}},
      {with("bias_initializer", made("GlorotUniform", {{"input_axes", {0}}})),
       {"bias_initializer.config.input_axes is [0]"}},
      {with("kernel_regularizer", "l1_l2"), {"kernel_regularizer: ", "l1_l2"}},
      {with("bias_regularizer", made("L1", {{"l1", -1}})), {"bias_regularizer: ", "-1"}},
      {with("activity_regularizer", made("L2", {{"l1", 1}})), {"unknown key", "\"l1\""}},
      {with("kernel_regularizer", made("OrthogonalRegularizer", {{"mode", "diagonal"}})),
       {"kernel_regularizer.config.mode is \"diagonal\"", "rows or columns"}},
      {with("kernel_constraint", made("MaxNorm", {{"axis", "a"}})),
       {"kernel_constraint.config.axis is \"a\""}},
      {with("bias_constraint", made("MinMaxNorm", {{"rate", 2}})),
       {"bias_constraint: ", "rate is 2"}},
      {with("bias_constraint", made("NonNeg", {{"axis", 0}})), {"unknown key", "\"axis\""}},
      {with("rotary", 5), {"rotary is 5", "an object"}},
      {with("rotary", {{"wave", 5}}), {"unknown key", "rotary.\"wave\" is 5"}},
      {with("rotary", {{"start", 0.5}}), {"rotary.start is 0.5"}},
      {with("query_shape", 5), {"query_shape is 5", "a list"}},
      {with("softmax_robust_masking", 5), {"softmax_robust_masking is 5"}},
  };
  for (const Bad& bad : all) {
    const std::string text = refusal(bad.text);
    INFO(bad.text.substr(0, 100) << ": " << text);
    CHECK(text.starts_with("MultiHeadAttention::from_config: "));
    CHECK(text.size() < 600);
    for (const std::string& part : bad.parts) {
      INFO(part);
      CHECK(contains(text, part));
    }
  }
  // The constructor refuses values of the right type that are out of range.
  Params<double> params;
  CHECK_THROWS_AS(Mha(params.scope() / "a", Mha::from_config(with("num_heads", 0))), ValueError);
  CHECK_THROWS_AS(Mha(params.scope() / "a", Mha::from_config(with("dropout", 1.5))), ValueError);
  CHECK_THROWS_AS(Mha(params.scope() / "a", Mha::from_config(with("output_shape", {0}))),
                  ValueError);
}
