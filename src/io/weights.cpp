#include <xtape/io/weights.hpp>

#include "base/instantiate.hpp"
#include "io/file.hpp"
#include "io/parameter_views.hpp"

namespace xtape {

using detail::fail;

namespace {

enum class Format { safetensors, npz };

Format format_of(const std::string& path) {
  if (path.ends_with(".safetensors")) return Format::safetensors;
  if (path.ends_with(".npz")) return Format::npz;
  fail<ValueError>(path,
                   "unknown kind of file, expected a name ending in .safetensors or .npz; "
                   "convert Keras's .weights.h5 and .keras with tools/keras_weights.py");
}

template <class T> std::map<std::string, Array<T>> read_values(const std::string& path) {
  const Format format = format_of(path);
  const io::FileBytes file(path);
  const io::Source source(path);
  return io::reading(path, file.bytes().size(), [&] {
    const io::Views views = format == Format::npz
                                ? io::parse_npz_views(file.bytes(), source)
                                : io::parse_safetensors_views(file.bytes(), source, nullptr);
    return io::arrays_of<T>(views, path);
  });
}

}  // namespace

namespace io {

template <class T> Views views_of(const Params<T>& params, const std::string& path) {
  Views views;
  std::string unbuilt;
  for (const Parameter<T>& parameter : params.all()) {
    if (parameter.built()) {
      views.emplace(parameter.path(), view_of(parameter.value()));
    } else {
      unbuilt += " '" + parameter.path() + "'";
    }
  }
  if (!unbuilt.empty()) {
    fail<ParameterError>(path, "not built yet:", unbuilt,
                         " have no value, expected one to save; call the layers once, or their "
                         "build()");
  }
  return views;
}

template Views views_of(const Params<float>&, const std::string&);
template Views views_of(const Params<double>&, const std::string&);

}  // namespace io

template <class T>
void save(const Params<T>& params, const std::string& path, const Metadata& metadata) {
  const Format format = format_of(path);
  if (format == Format::npz && !metadata.empty()) {
    fail<ValueError>(path, "metadata in an .npz, expected none; save as .safetensors");
  }
  const io::Views views = io::views_of(params, path);
  io::write_file(path, [&](const io::Sink& sink) {
    if (format == Format::npz) {
      io::write_npz_to(sink, path, views);
    } else {
      io::write_safetensors_to(sink, path, views, metadata);
    }
  });
}
XTAPE_FOR_REALS(save);

template <class T>
LoadReport load(Params<T>& params, const std::string& path, LoadOptions options) {
  const auto values = read_values<T>(path);
  LoadReport report;
  io::naming(path, [&] { report = params.load(values, options); });
  return report;
}
XTAPE_FOR_REALS(load);

}  // namespace xtape
