// libFuzzer's two doors: which target is meant (--target=NAME; --list names them), and one input for it.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "target.h"

namespace {

const syzygy::fuzz::Target* chosen = nullptr;
constexpr std::string_view kFlag = "--target=";

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (argument == "--list") {
      for (const auto& target : syzygy::fuzz::targets()) std::printf("%s\n", std::string(target.name).c_str());
      std::exit(0);
    }
    if (argument.starts_with(kFlag)) chosen = syzygy::fuzz::find_target(argument.substr(kFlag.size()));
  }
  if (chosen == nullptr) {
    std::fprintf(stderr, "%s: give one of its targets as --target=NAME; --list names them\n", (*argv)[0]);
    std::exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
