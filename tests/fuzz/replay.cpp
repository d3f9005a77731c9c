// Runs kept inputs through a target, in builds without libFuzzer: PROGRAM TARGET (FILE|DIRECTORY)...
//
// Each input is tried whole, and cut short at a few places, which costs nothing and finds readers that trust a length.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "target.h"

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_of(std::span<char*> arguments) {
  std::vector<fs::path> files;
  for (const fs::path path : arguments) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto* target = argc > 2 ? syzygy::fuzz::find_target(arguments[1]) : nullptr;
  const auto files = argc > 2 ? files_of(arguments.subspan(2)) : std::vector<fs::path>();
  if (target == nullptr || files.empty()) {
    std::fprintf(stderr,
                 "usage: %s TARGET (FILE|DIRECTORY)...; there must be a file, and TARGET one of:", arguments[0]);
    for (const auto& known : syzygy::fuzz::targets()) std::fprintf(stderr, " %s", std::string(known.name).c_str());
    std::fprintf(stderr, "\n");
    return 2;
  }
  target->run({});
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::string input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::printf("%s: %zu bytes\n", path.c_str(), input.size());
    std::fflush(stdout);  // so that the last line names the input, if this process ends here
    target->run(input);
    for (const std::size_t part : {1U, 3U, 5U, 7U})
      target->run(std::string_view(input).substr(0, input.size() * part / 8));
  }
  return 0;
}
