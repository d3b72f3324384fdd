#pragma once
// The only file that includes xtensor. It knows the header paths before and since 0.26.
// It also mends xtensor 0.24 and 0.25 in C++20 with g++. Their guard tests __cplusplus == 201703L, so they take a
// dynamic shape for a fixed rank of 4.
// Expressions then evaluate to the wrong type.
// The macro also works in a precompiled header, where #pragma once may fail to recognise the file.

#ifndef XTAPE_ARRAY_XTENSOR_HPP
#define XTAPE_ARRAY_XTENSOR_HPP

#if __has_include(<xtensor/containers/xarray.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#else
#include <xtensor/xexpression_traits.hpp>
#include <xtensor/xshape.hpp>
#if defined(__GNUC__) && !defined(__clang__) && __cplusplus > 201703L
namespace xt::detail {
// A full specialization: Debian 13 patches a partial one into its xtensor 0.25.
template <> struct xtype_for_shape<dynamic_shape<std::size_t>> {
  template <class T, layout_type L> using type = xarray<T, L>;
};
}  // namespace xt::detail
#endif
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#endif

#include <type_traits>

#if !__has_include(<xtensor/containers/xarray.hpp>)
static_assert(std::is_same_v<xt::detail::xtype_for_shape<xt::dynamic_shape<std::size_t>>::type<
                                 float, xt::layout_type::row_major>,
                             xt::xarray<float>>,
              "xtensor evaluates expressions to the wrong type: include <xtape/xtape.hpp> before "
              "any xtensor header");
#endif

#endif
