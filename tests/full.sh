# The further stages of tests/run.sh --full, which sources this. Not a program of its own.

# Of the counters that the suite "coverage and faults" left.
coverage() {
  # Read once; then each group of folders must reach the limit by itself.
  local group folders folder notes=''
  # Lines alone are counted: a branch that gcov writes oddly is nothing, but it ends a worker of gcovr's,
  # and the other then waits for ever.
  timeout -k 10 300 gcovr --root . --filter src/ build/coverage -j "$(nproc)" \
    --gcov-ignore-parse-errors --json "$temporary/gcovr.json"
  for group in "tape/ ops/" "layers/ params/ io/ run/checkpoint"; do
    folders=()
    for folder in $group; do folders+=(--filter "src/$folder"); done
    gcovr --root . --add-tracefile "$temporary/gcovr.json" "${folders[@]}" \
      --fail-under-line 95 | tee "$temporary/gcovr"
    notes+="$(awk '/^TOTAL/ {print $4}' "$temporary/gcovr") of ${group// /, }; "
  done
  note "lines: ${notes%; }"
}

# One fuzzer for XTAPE_FUZZ_SECONDS; what it found stays in build/corpus.
fuzz_one() {
  local name=$1 corpus=build/corpus/$1 limits=(-max_len=400 -rss_limit_mb=512 -timeout=5)
  local length=(-max_total_time="${XTAPE_FUZZ_SECONDS:-30}")
  mkdir -p "$corpus"
  # Two readers of weights: more than a million inputs, however busy the machine is.
  if [[ -z ${XTAPE_FUZZ_SECONDS-} && $name =~ ^(safetensors|npz)$ ]]; then
    length=(-runs=510000 -max_total_time=300)
  fi
  if [[ $name == program ]]; then limits=(-max_len=200 -rss_limit_mb=512); fi
  if [[ $name == seq2seq ]]; then limits=(-max_len=3000 -rss_limit_mb=512 -timeout=20); fi
  ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=64 "build/asan-ubsan/tests/fuzz/${name}_fuzzer" "$corpus" \
    "tests/fuzz/corpus/$name" "${length[@]}" "${limits[@]}" \
    -artifact_prefix=build/corpus/ -print_final_stats=1 >"$temporary/fuzz_$name" 2>&1
}

# As many at once as there are processors.
fuzz() {
  local name names=(safetensors npz program checkpoint text vocabulary seq2seq) notes='' failing=0 runs total=0
  printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz_one {} || exit 1' || failing=1
  for name in "${names[@]}"; do
    runs=$(awk '/number_of_executed_units/ {print $2}' "$temporary/fuzz_$name")
    total=$((total + ${runs:-0}))
    notes+="$runs of $name, "
    if ((failing)); then grep -vE '^#[0-9]+|NEW_FUNC' "$temporary/fuzz_$name" >&2 || true; fi
  done
  note "$total runs: ${notes%, }"
  return "$failing"
}
export -f fuzz_one
export temporary

installed() {
  local prefix=$temporary/installed moved=$temporary/moved consumer=examples/consumer
  cmake --install build/dev --prefix "$prefix" >/dev/null
  mv "$prefix" "$moved"  # it must not matter where it lies
  if grep -rIl -e "$PWD" -e "$prefix" "$moved"; then
    echo "an installed file names a directory of this machine" >&2
    return 1
  fi
  echo "-- find_package"
  cmake -G Ninja -S "$consumer" -B "$temporary/package" -DCMAKE_PREFIX_PATH="$moved" >/dev/null
  cmake --build "$temporary/package"
  "$temporary/package/consumer"
  echo "-- the project of the tutorial"
  mkdir -p "$temporary/tutorial"
  bash tests/tutorial.sh project "$temporary/tutorial/CMakeLists.txt"
  bash tests/tutorial.sh source array "$temporary/tutorial/main.cpp"
  cmake -G Ninja -S "$temporary/tutorial" -B "$temporary/tutorial/build" -DCMAKE_PREFIX_PATH="$moved" >/dev/null
  cmake --build "$temporary/tutorial/build"
  bash tests/tutorial.sh run array "$temporary/tutorial/build/translator"
  echo "-- pkg-config"
  local pc
  pc=$(dirname "$(find "$moved" -name xtape.pc)")
  # shellcheck disable=SC2046
  g++ -std=c++20 "$consumer/main.cpp" -o "$temporary/with_pc" \
    $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs xtape)
  "$temporary/with_pc"
  echo "-- add_subdirectory"
  # With the flags of build/dev, from a folder as deep, by make, which works there: ccache has the library.
  local part=build-consumer
  rm -rf "$part"
  cmake -G "Unix Makefiles" -S "$consumer" -B "$part" -DXTAPE_SOURCE_DIR="$PWD" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g1 -DNDEBUG" \
    -DXTAPE_WERROR=ON >/dev/null
  cmake --build "$part" -j "$(nproc)"
  "$part/consumer"
  # As a part of another project it installs nothing and builds no tests.
  cmake --build "$part" --target help >"$temporary/targets"
  rm -rf "$part"
  ! grep -E '^(\.\.\. )?(install|test_products_gemm)(:|$)' "$temporary/targets"
}

# Teams of processes, under mpirun.
processes() {
  cmake --build build/dev --target mpi_ranks example_seq2seq example_language_model
  note "$(timeout -k 10 600 bash tests/mpi/check.sh build/dev/tests/mpi_ranks)"
  timeout -k 10 1200 bash tests/mpi/seq2seq.sh build/dev/examples/seq2seq build/dev/examples/language_model
}

# Shows names of xtape alone; serves programs without run-time type information.
shared_library() {
  local build=build/shared prefix=$temporary/shared names
  cmake -G Ninja -S . -B "$build" -DBUILD_SHARED_LIBS=ON -DXTAPE_BUILD_TESTS=OFF -DXTAPE_BUILD_EXAMPLES=OFF -DXTAPE_MPI=OFF \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g1 -DNDEBUG" \
    -DCMAKE_INSTALL_LIBDIR=lib -DXTAPE_WERROR=ON >/dev/null
  cmake --build "$build" --target xtape
  cmake --install "$build" --prefix "$prefix" >/dev/null
  g++ -std=c++20 -fno-rtti -I"$prefix/include" examples/consumer/main.cpp -o "$temporary/without_rtti" \
    -L"$prefix/lib" -lxtape -Wl,-rpath,"$prefix/lib"
  "$temporary/without_rtti"
  names=$(nm -D --defined-only "$prefix/lib/libxtape.so" | awk '$2 != "A" { print $3 }')
  if grep -v 5xtape <<<"$names" || grep -E '4Avx2|6Avx512|8Baseline' <<<"$names"; then
    echo "libxtape.so shows names that are not xtape's own, or kernels of an instruction set" >&2
    return 1
  fi
  note "$(wc -l <<<"$names") names"
}

# Every public symbol has a page, and every link leads somewhere.
site() {
  if ! command -v doxygen >/dev/null || ! command -v sphinx-build >/dev/null; then
    note "not built: there is no Doxygen or no Sphinx here"
    return
  fi
  tools/site.sh build/site | tee "$temporary/site"
  note "$(tail -n 1 "$temporary/site")"
}

# The README's first command: folders of sources compiled as one, kernels of this processor alone.
first_command() {
  bash examples/run.sh --smoke --picture "$temporary/attention.svg" | tee "$temporary/first_command"
  [[ -s $temporary/attention.svg ]]
  note "$(grep '^exact match' "$temporary/first_command")"
}

# Benchmarks look inside the library, and nothing else compiles them.
benchmarks() {
  local objects
  cmake --preset bench -B build/bench_objects -DXTAPE_KERNELS=avx2 >/dev/null
  mapfile -t objects < <(ninja -C build/bench_objects -t targets all | sed -n 's/^\(bench\/.*\.cpp\.o\): .*/\1/p')
  ((${#objects[@]} > 0))
  ninja -C build/bench_objects "${objects[@]}"
  note "${#objects[@]} compile"
}

# The page of seq2seq, under more malformed requests than the usual test sends.
page() {
  cmake --build build/dev --target example_seq2seq serve_client
  timeout -k 10 300 bash tests/examples/seq2seq_serve.sh "$PWD/build/dev/examples/seq2seq" "$PWD/build/dev/examples/serve_client" 10000 |
    tee "$temporary/page"
  note "$(grep -oE 'memory.*|skipped: the page \(.*' "$temporary/page" | head -n 1)"
}

debian13() {
  bash tests/debian13.sh | tee "$temporary/debian13"
  note "$(grep -E '^debian13.sh: |tests passed' "$temporary/debian13" | tail -n 1)"
}

aarch64() {
  bash tests/aarch64.sh | tee "$temporary/aarch64"
  note "$(tail -n 1 "$temporary/aarch64")"
}

amx() {
  bash tests/amx.sh | tee "$temporary/amx"
  note "$(tail -n 1 "$temporary/amx")"
}

# One readable error from a compiler that is told to speak C++17.
refuses_cxx17() {
  echo '#include <xtape/xtape.hpp>' >"$temporary/old.cpp"
  ! g++ -std=c++17 -Iinclude -fsyntax-only "$temporary/old.cpp" 2>"$temporary/old"
  [[ $(grep -c 'error: #error "xtape needs C++20' "$temporary/old") == 1 ]]
  [[ $(grep -c 'error:' "$temporary/old") == 2 ]]  # and the one that ends it
}

umbrella_time() {
  local start end
  echo '#include <xtape/xtape.hpp>' >"$temporary/umbrella.cpp"
  start=$(date +%s%N)
  g++ -std=c++20 -Iinclude -c "$temporary/umbrella.cpp" -o "$temporary/umbrella.o"
  end=$(date +%s%N)
  note "$(awk -v t=$((end - start)) 'BEGIN {printf "%.1f s", t / 1e9}')"
  echo "#include <xtape/xtape.hpp> alone compiles in $(<"$temporary/note")"
}

sources() {
  find src include tests examples bench -type f \( -name '*.cpp' -o -name '*.hpp' \) | sort
}

file_length() {
  local file lines bad=0
  while read -r file; do
    lines=$(wc -l <"$file")
    if ((lines > 400)); then
      echo "$file has $lines lines; at most 400" >&2
      bad=1
    fi
  done < <(sources)
  return "$bad"
}

formatted() {
  if ! command -v clang-format-14 >/dev/null; then
    note "not checked: there is no clang-format-14 here"
    return
  fi
  sources | xargs clang-format-14 --dry-run --Werror
}

# Address randomisation of some kernels is more than g++ 12's thread sanitizer can place its shadow in.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed_addresses=(setarch "$(uname -m)" -R); fi

suite "clang, address and UB sanitizers" asan-ubsan
stage "fuzzing" fuzz
suite "thread sanitizer" tsan "${fixed_addresses[@]}"
find build/coverage -name '*.gcda' -delete 2>/dev/null || true
suite "for coverage, and gradient faults" coverage
stage "coverage" coverage
stage "teams of processes" processes
stage "page of seq2seq" page
stage "first command" first_command
stage "benchmarks" benchmarks
stage "installed package" installed
stage "shared library" shared_library
# It takes as long as the rest of the stages together where the compiler cache is cold.
if [[ -n ${XTAPE_OTHER_SYSTEMS-} ]]; then
  stage "Debian 13" debian13
  stage "aarch64" aarch64
  stage "AMX, emulated" amx
fi
stage "refusal of C++17" refuses_cxx17
stage "compile time of the umbrella header" umbrella_time
stage "site" site
stage "no source over 400 lines" file_length
stage "formatting" formatted
