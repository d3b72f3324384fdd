#pragma once
/// \file
/// Refuses compilers that do not speak C++20, before anything else would puzzle them.

#if __cplusplus < 202002L
#error "xtape needs C++20: compile with -std=c++20"
#include <xtape/needs/c++20>  // is not there: g++ and clang stop here
#endif
