#pragma once
// xtensor's reducers, views and output, by their header paths before and since 0.26.
#include <xtape/array/xtensor.hpp>

#if __has_include(<xtensor/views/xview.hpp>)
#include <xtensor/core/xmath.hpp>
#include <xtensor/io/xio.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xio.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>
#endif
