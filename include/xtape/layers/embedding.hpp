#pragma once
/// \file
/// Embedding: a vector for each token.

#include <xtape/ops/indexing.hpp>
#include <xtape/params/params.hpp>

#include <optional>

namespace xtape {

/// Keras's Embedding: ids (...) -> (..., output_dim).
template <class T> class Embedding {
 public:
  /// Options, with their defaults.
  struct Options {
    int input_dim = 0;                               ///< size of the vocabulary; positive
    int output_dim = 0;                              ///< width of a vector; positive
    Initializer embeddings_initializer = "uniform";  ///< initial values of the embeddings
    bool mask_zero = false;                          ///< id 0 is padding, for compute_mask()
    bool trainable = true;                       ///< whether an optimizer updates the parameters
    Regularizer<T> embeddings_regularizer = {};  ///< penalty on the embeddings
    /// Penalizes the output, divided by the first extent of the ids; see Dense.
    Regularizer<T> activity_regularizer = {};
    Constraint<T> embeddings_constraint = {};  ///< limit of the embeddings after each update
  };

  /// Reserves "embeddings" in the scope. ValueError for extents that are not positive.
  Embedding(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  Embedding(Embedding&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  Embedding& operator=(Embedding&&) noexcept = default;

  /// ValueError naming the path for an id outside 0 ... input_dim - 1.
  Var<T> operator()(const Tokens<T>& ids) const;
  /// x (..., output_dim) -> (..., input_dim): products with every row of the table, so that one table
  /// serves as embedding and as output layer (Press & Wolf 2017). ShapeError for another width.
  [[nodiscard]] Var<T> attend(const Var<T>& x) const;
  /// Makes the table without computing.
  void build() const;
  /// Returns where ids is not 0 with mask_zero, else nothing. Values carry no mask: pass it on yourself.
  [[nodiscard]] OptionalArray<bool> compute_mask(const Tokens<T>& ids) const;

  /// Returns the table, (input_dim, output_dim).
  [[nodiscard]] const Parameter<T>& embeddings() const { return embeddings_; }

 private:
  std::string path_;
  Options options_;
  Parameter<T> embeddings_;
};

}  // namespace xtape
