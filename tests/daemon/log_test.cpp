// Lines that other programs read: logfmt and JSON, whatever bytes are logged.
#include "daemon/log.h"

#include <gtest/gtest.h>

namespace syzygy::daemon::log {
namespace {

TEST(Log, Logfmt) {
  EXPECT_EQ(line(LogFormat::kLogfmt, "T", LogLevel::kInfo, "round moved",
                 {{"target", "orders"}, {"state", "SUCCEEDED"}, {"why", "it \"ended\""}, {"none", ""}}),
            R"(time=T level=info msg="round moved" target=orders state=SUCCEEDED why="it \"ended\"" none="")");
}

TEST(Log, Json) {
  EXPECT_EQ(line(LogFormat::kJson, "T", LogLevel::kError, "a\\b", {{"key", "1\n2"}}),
            R"({"time":"T","level":"error","msg":"a\\b","key":"1\n2"})");
}

TEST(Log, OneLineWhateverIsLogged) {
  for (const LogFormat format : {LogFormat::kLogfmt, LogFormat::kJson}) {
    const std::string shown = line(format, "T", LogLevel::kWarning, std::string("a\nb\r\x1b[31m\x7f\xff", 12),
                                   {{"k", std::string("\0\n", 2)}});
    for (const char c : shown) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << shown;
    EXPECT_EQ(shown.find('\x7f'), std::string::npos);
    EXPECT_EQ(shown.find('\xff'), std::string::npos);
  }
}

}  // namespace
}  // namespace syzygy::daemon::log
