// matmul with every transposition and batch, einsum, dot and outer.

#include "support/twins.hpp"

namespace xtape::test {
namespace {

/// NumPy's matmul by its definition, for operands already turned to rows and columns.
Array<double> naive_matmul(Array<double> a, Array<double> b, bool ta, bool tb) {
  const bool row = a.dimension() == 1;
  const bool column = b.dimension() == 1;
  if (row) a.reshape(Shape{1, a.size()});
  if (column) b.reshape(Shape{b.size(), 1});
  ta = ta && !row;
  tb = tb && !column;
  const Index sa = extents_of(a.shape());
  const Index sb = extents_of(b.shape());
  const std::size_t m = ta ? sa[sa.size() - 1] : sa[sa.size() - 2];
  const std::size_t k = ta ? sa[sa.size() - 2] : sa[sa.size() - 1];
  const std::size_t n = tb ? sb[sb.size() - 2] : sb[sb.size() - 1];
  Index out = extents_of(broadcast_shape(shape_of(Index(sa.begin(), sa.end() - 2)),
                                         shape_of(Index(sb.begin(), sb.end() - 2))));
  const std::size_t batch = out.size();
  out.push_back(m);
  out.push_back(n);
  // Extents of 1 of the matrices themselves do not broadcast, but at() then reads element 0 anyway.
  Array<double> y = generate(shape_of(out), [&](const Index& i) {
    double sum = 0;
    for (std::size_t j = 0; j < k; ++j) {
      Index u(i.begin(), i.begin() + static_cast<std::ptrdiff_t>(batch));
      Index v = u;
      u.push_back(ta ? j : i[batch]);
      u.push_back(ta ? i[batch] : j);
      v.push_back(tb ? i[batch + 1] : j);
      v.push_back(tb ? j : i[batch + 1]);
      sum += at(a, u) * at(b, v);
    }
    return sum;
  });
  if (row) out.erase(out.end() - 2);
  if (column) out.pop_back();
  y.reshape(shape_of(out));
  return y;
}

/// The same pairs of shapes with the last two axes exchanged where an operand is transposed.
std::vector<Shapes> turned(std::vector<Shapes> cases, bool ta, bool tb) {
  for (Shapes& c : cases) {
    if (ta && c[0].size() > 1) std::swap(c[0][c[0].size() - 1], c[0][c[0].size() - 2]);
    if (tb && c[1].size() > 1) std::swap(c[1][c[1].size() - 1], c[1][c[1].size() - 2]);
  }
  return cases;
}

std::vector<Shapes> products() {
  return {{Shape{2, 3}, Shape{3, 4}},       {Shape{1, 3}, Shape{3, 2}},
          {Shape{2, 1}, Shape{1, 3}},       {Shape{1, 1}, Shape{1, 1}},
          {Shape{3, 3}, Shape{3, 3}},       {Shape{3}, Shape{3, 2}},
          {Shape{2, 3}, Shape{3}},          {Shape{3}, Shape{3}},
          {Shape{2, 2, 3}, Shape{2, 3, 2}}, {Shape{2, 2, 3}, Shape{3, 2}},
          {Shape{2, 3}, Shape{2, 3, 2}},    {Shape{2, 1, 2, 2}, Shape{3, 2, 1}},
          {Shape{1, 2, 3}, Shape{3, 3, 2}}, {Shape{2, 2, 2}, Shape{2}},
          {Shape{2}, Shape{3, 2, 2}},       {Shape{0, 3}, Shape{3, 2}},
          {Shape{2, 0}, Shape{0, 3}},       {Shape{2, 0, 3}, Shape{3, 2}},
          {Shape{0, 2, 3}, Shape{3, 2}},    {Shape{4, 1}, Shape{1, 1}}};
}

/// Pairs of the general classes that matmul refuses.
std::optional<Rejection> refused_by_matmul(const Shapes& s, bool ta, bool tb) {
  const auto shape = [](const char* part) { return refused(part); };
  if (s[0].size() == 0 || s[1].size() == 0) return shape("matmul: not a matrix");
  const Shape& a = s[0];
  const Shape& b = s[1];
  const std::size_t ka = a.size() > 1 && ta ? a[a.size() - 2] : a.back();
  const std::size_t kb = b.size() > 1 && !tb ? b[b.size() - 2] : b.back();
  if (ka != kb) return shape("matmul: extents differ: operands are (");
  return std::nullopt;
}

/// Random shapes of every letter, and extents of 1 in one operand where they broadcast.
void einsum_row(Table& rows, const std::string& equation) {
  const std::string la = equation.substr(0, equation.find(','));
  const std::string lb = equation.substr(la.size() + 1, equation.find("->") - la.size() - 1);
  std::vector<Shapes> cases;
  for (std::uint64_t seed = 0; cases.size() < 14; ++seed) {
    RandomStream stream(seed, stable_hash(equation));
    std::map<char, std::size_t> extent;
    for (const char c : la + lb) {
      // One empty case, one of ones, the rest small.
      const std::size_t e = seed == 0 ? 1 : 1 + stream.below(3);
      extent.try_emplace(c, seed == 1 && extent.empty() ? 0 : e);
    }
    Index a, b;
    for (const char c : la)
      a.push_back(
          seed >= 11 && stream.below(3) == 0 && lb.find(c) != std::string::npos ? 1 : extent[c]);
    for (const char c : lb)
      b.push_back(seed >= 8 && seed < 11 && stream.below(3) == 0 && la.find(c) != std::string::npos
                      ? 1
                      : extent[c]);
    if (size_of(shape_of(a)) > 40 || size_of(shape_of(b)) > 40) continue;
    cases.push_back({shape_of(a), shape_of(b)});
  }
  rows.op("einsum " + equation, std::move(cases), OP(einsum(equation, x[0], x[1])),
          TWIN(einstein(equation, x[0], x[1])))
      .never_the_same_operand();
}

}  // namespace

std::vector<Row> product_rows() {
  Table rows;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const std::string name =
          std::string("matmul") + (ta ? ", a transposed" : "") + (tb ? ", b transposed" : "");
      rows.op(name, both(turned(products(), ta, tb), two()),
              OP(matmul(x[0], x[1], {.transpose_a = ta, .transpose_b = tb})),
              TWIN(naive_matmul(x[0], x[1], ta, tb)))
          .refusing([ta, tb](const Shapes& s) { return refused_by_matmul(s, ta, tb); });
    }
  }
  for (const char* equation :
       {"aecd,abcd->acbe", "acbe,aecd->abcd",  // attention: scores, and their use
        "ab,bc->ac",       "ab,bc->ca",       "ba,bc->ac",        "ab,cb->ca",
        "ab,ab->",         "ab,ab->a",        "ab,ab->b",         "ab,ab->ab",
        "ab,ab->ba",       "a,b->ba",         "a,ab->b",          ",ab->ba",
        "ab,->a",          "abc,bcd->dab",    "abc,cbd->adb",  // the contracted axes do not merge
        "abc,cd->bda",     "aBc,Bcd->dBa",    "bdac,bcae->abcde",
        "abx,bcy->ac",  // labels of one operand alone, summed
        "xab,by->a"}) {
    einsum_row(rows, equation);
  }
  const std::vector<Shapes> vectors = {
      {Shape{2}, Shape{2}},   {Shape{4}, Shape{4}},   {Shape{5}, Shape{5}},  {Shape{6}, Shape{6}},
      {Shape{7}, Shape{7}},   {Shape{8}, Shape{8}},   {Shape{9}, Shape{9}},  {Shape{10}, Shape{10}},
      {Shape{11}, Shape{11}}, {Shape{12}, Shape{12}}, {Shape{17}, Shape{17}}};
  const std::vector<Shapes> unequal = {{Shape{2}, Shape{3}},
                                       {Shape{4}, Shape{1}},
                                       {Shape{1}, Shape{4}},
                                       {Shape{0}, Shape{3}},
                                       {Shape{5}, Shape{2}}};
  const auto not_vectors = [](const char* op) -> Rejects {
    return [op](const Shapes& s) -> std::optional<Rejection> {
      if (s[0].size() != 1 || s[1].size() != 1) {
        return refused(std::string(op) + ": not vectors");
      }
      if (op == std::string("dot") && s[0] != s[1]) {
        return refused("dot: extents differ");
      }
      return std::nullopt;
    };
  };
  rows.op("dot", both(both(two(), vectors), unequal), OP(dot(x[0], x[1])),
          TWIN(einstein("a,a->", x[0], x[1])))
      .refusing(not_vectors("dot"));
  rows.op("outer", both(both(two(), {vectors.begin(), vectors.begin() + 6}), unequal),
          OP(outer(x[0], x[1])), TWIN(einstein("a,b->ab", x[0], x[1])))
      .refusing(not_vectors("outer"));
  return rows;
}

}  // namespace xtape::test
