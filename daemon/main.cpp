#include <cstdio>
#include <cstdlib>

#include "base/standard_streams.h"
#include "daemon/config.h"
#include "daemon/run.h"

int main(int argc, char** argv) {
  using namespace syzygy::daemon;
  syzygy::hold_standard_streams();  // before the first file
  hold_signals();                   // before the first thread
  const Parsed parsed = parse(argc, argv, [](const char* name) { return std::getenv(name); });
  if (parsed.config) return run(*parsed.config);
  if (parsed.store.kind != StoreCommand::Kind::kNone) return run_store_command(parsed.store);
  if (!parsed.replay.empty()) return replay(parsed.replay);
  std::fputs(parsed.text.c_str(), parsed.code == 0 ? stdout : stderr);
  return parsed.code;
}
