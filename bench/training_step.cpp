// Measures training steps of the rows in shapes.txt, as benchmarks:
//     training_step --benchmark_filter=causal/32x10
// For compare.py, `training_step --serve` reads a command per line and answers each with a line of JSON.
// `row KIND EXTENTS...` makes the work, `save FILE` writes its weights, and `losses N` does N steps.
// `run THREADS SECONDS` measures, and `rates` returns the rates of products.

#include "work.hpp"

#include <iomanip>
#include <iostream>
#include <new>

namespace {

using namespace bench;

void training_step(benchmark::State& state, const Row& row, std::size_t threads) {
  sgemm_rate();
  const Threads set(threads);
  Work work(row);
  for (int i = 0; i < 3; ++i) work.step();
  xp::reset_peak_memory();
  const xp::MemoryStats before = xp::memory_stats();
  for (auto _ : state) work.step();
  report_allocations(state, before);
  state.counters["peak"] =
      benchmark::Counter(static_cast<double>(xp::memory_stats().peak) - work.persistent_bytes(),
                         benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
  report_flops(state, step_flops(row), threads);
}

class Server {
 public:
  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    std::ostringstream out;
    out << std::setprecision(17) << '{';
    if (command == "row") {
      work_.reset();
      xp::trim();
      const Row row = parse_row(line.substr(4));
      work_ = std::make_unique<Work>(row);
      out << "\"name\": \"" << row.name() << "\", \"flops\": " << step_flops(row)
          << ", \"parameters\": " << work_->params().count();
    } else if (command == "save") {
      std::string path;
      words >> path;
      xp::save(work().params(), path);
    } else if (command == "losses") {
      int count = 0;
      words >> count;
      out << "\"losses\": [";
      for (int i = 0; i < count; ++i) out << (i == 0 ? "" : ", ") << work().step();
      out << ']';
    } else if (command == "run") {
      std::size_t threads = 1;
      double budget = 0;
      words >> threads >> budget;
      const double sgemm = sgemm_rate(1);
      xp::set_num_threads(threads);
      const Measured m = measure(work(), budget);
      out << "\"ms\": " << m.median_ms << ", \"processor_ms\": " << m.processor_ms
          << ", \"steps\": " << m.steps << ", \"system_allocations\": " << m.system_allocations
          << ", \"peak_bytes\": " << m.peak_bytes << ", \"sgemm\": " << sgemm;
      if (threads > 1) out << ", \"round_trip_ns\": " << round_trip_ns();
    } else if (command == "rates") {
      out << "\"sgemm\": " << sgemm_rate() << ", \"own\": " << own_rate();
    } else {
      throw std::invalid_argument("no command: " + command);
    }
    out << '}';
    return out.str();
  }

 private:
  Work& work() {
    if (!work_) throw std::invalid_argument("no row yet");
    return *work_;
  }
  std::unique_ptr<Work> work_;
};

int serve() {
  Server server;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << server.answer(line) << std::endl;
    } catch (const std::bad_alloc&) {
      std::cout << R"({"error": "out of memory"})" << std::endl;
    } catch (const std::exception& e) {
      std::cout << R"({"error": )" << std::quoted(e.what()) << '}' << std::endl;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--serve") return serve();
  benchmark::Initialize(&argc, argv);
  const std::string path = argc > 1 ? argv[1] : XTAPE_BENCH_SHAPES;
  for (const Row& row : read_rows(path)) {
    for (const std::size_t threads : {1U, 2U}) {
      benchmark::RegisterBenchmark((row.name() + "/threads:" + std::to_string(threads)).c_str(),
                                   training_step, row, threads)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
