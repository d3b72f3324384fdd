#pragma once
/// \file
/// Encodings of positions, to be added to the vectors of tokens: sines and cosines, or learned.

#include <xtape/params/params.hpp>

#include <memory>

namespace xtape {

/// Sines and cosines of the positions (Vaswani et al. 2017; keras-hub's SinePositionEncoding): entry j
/// of position p is sin(p / max_wavelength^(j / width)) for even j, and the cosine of the same angle
/// for the j after it. Returned, not added: x + positions(x).
template <class T> class SinePositionEncoding {
 public:
  /// Options, with their defaults.
  struct Options {
    double max_wavelength = 10000.0;  ///< positive and finite
  };

  /// ValueError for a wavelength out of range.
  explicit SinePositionEncoding(Options options = {});
  /// Moves. The source must not be used afterwards.
  SinePositionEncoding(SinePositionEncoding&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  SinePositionEncoding& operator=(SinePositionEncoding&&) noexcept = default;

  /// For x (..., length, width): the encodings (length, width) of positions start_index ...
  /// start_index + length - 1, a constant that broadcasts to x. Computed once and kept. When decoding
  /// step by step start_index is the number of positions before x. ShapeError for fewer than two axes.
  Var<T> operator()(const Var<T>& x, std::size_t start_index = 0) const;

 private:
  struct Table;
  std::shared_ptr<Table> table_;
};

/// A learned vector for each position (keras-hub's PositionEmbedding). Returned, not added.
template <class T> class PositionEmbedding {
 public:
  /// Options, with their defaults.
  struct Options {
    int sequence_length = 0;                     ///< how many positions there are; positive
    Initializer initializer = "glorot_uniform";  ///< initial values of the table
    bool trainable = true;                       ///< whether an optimizer updates the parameters
    Regularizer<T> regularizer = {};             ///< penalty on the table
    Constraint<T> constraint = {};               ///< limit of the table after each update
  };

  /// Reserves "embeddings" (sequence_length, width) in the scope. ValueError unless sequence_length is
  /// positive.
  PositionEmbedding(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  PositionEmbedding(PositionEmbedding&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  PositionEmbedding& operator=(PositionEmbedding&&) noexcept = default;

  /// For x (..., length, width): the vectors (length, width) of positions start_index ...
  /// start_index + length - 1, which broadcast to x. ValueError for more positions than there are,
  /// ShapeError for fewer than two axes or another width than before.
  Var<T> operator()(const Var<T>& x, std::size_t start_index = 0) const;
  /// Makes the table for inputs of this shape without computing.
  void build(const Shape& input) const;

  /// Returns the table, (sequence_length, width).
  [[nodiscard]] const Parameter<T>& embeddings() const { return embeddings_; }

 private:
  std::string path_;
  Options options_;
  Parameter<T> embeddings_;
};

}  // namespace xtape
