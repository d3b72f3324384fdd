#pragma once
// How the names and shapes in a file differ from those of a model, as one ParameterError.

#include "base/message.hpp"

#include <string>

namespace xtape::detail {

class NameCheck {
 public:
  void missing(const std::string& name) { missing_.add(name); }
  void unexpected(const std::string& name) { unexpected_.add(name); }
  void misshaped(const std::string& name, const std::string& is, const std::string& expected) {
    misshaped_.add(name + " is " + is + ", expected " + expected + ";");
  }
  /// ParameterError "who: another architecture: ..." unless all names fit.
  void finish(const std::string& who, const char* advice) const {
    if (missing_.count + unexpected_.count + misshaped_.count == 0) return;
    fail<ParameterError>(who, "another architecture: missing:", missing_.str(),
                         "; unexpected:", unexpected_.str(), "; mis-shaped:", misshaped_.str(),
                         misshaped_.count == 0 ? ";" : "", " nothing was changed; ",
                         misshaped_.count == 0 ? advice : "make the layers as they were saved");
  }

 private:
  /// The first ten names, and how many more there are.
  struct List {
    std::string first;
    std::size_t count = 0;
    void add(const std::string& name) {
      if (++count <= 10) first += " " + name;
    }
    [[nodiscard]] std::string str() const {
      if (count <= 10) return count == 0 ? " none" : first;
      return first + " and " + std::to_string(count - 10) + " more";
    }
  };
  List missing_, unexpected_, misshaped_;
};

}  // namespace xtape::detail
