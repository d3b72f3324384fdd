#pragma once
// Explicit instantiation of a template for the element types, under its definition.

/// For a function that is not overloaded: XTAPE_FOR_REALS(softplus);
#define XTAPE_FOR_REALS(name)                 \
  template decltype(name<float>) name<float>; \
  template decltype(name<double>) name<double>

/// For a class, under the definition of its last member: XTAPE_CLASS_FOR_REALS(Dense);
#define XTAPE_CLASS_FOR_REALS(name) \
  template class name<float>;       \
  template class name<double>
