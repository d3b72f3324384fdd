#pragma once
// Explicit instantiation of a function template for the element types, under its definition.

/// For a template that is not overloaded: XTAPE_FOR_REALS(softplus);
#define XTAPE_FOR_REALS(name)                 \
  template decltype(name<float>) name<float>; \
  template decltype(name<double>) name<double>
