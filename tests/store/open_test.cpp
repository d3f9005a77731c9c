#include "store/open.h"

#include <gtest/gtest.h>

#include "tests/store/temporary_directory.h"

namespace syzygy::store_tests {
namespace {

TEST(OpenStore, OpensWhatTheAddressNames) {
  const TemporaryDirectory directory;
  const std::string address = "sqlite:" + (directory.path() / "store").string();
  const auto embedded = open_store(address);
  ASSERT_TRUE(embedded) << embedded.error().message;
  EXPECT_EQ((*embedded)->describe(), address);
  EXPECT_FALSE((*embedded)->shared());
  EXPECT_EQ(directory_of_store(address), (directory.path() / "store").string());

  const auto memory = open_store("memory:");
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ((*memory)->describe(), "memory:");
  EXPECT_EQ(directory_of_store("memory:"), "");
}

TEST(OpenStore, WhatIsNoAddressIsRefusedWithTheKindsThatThereAre) {
  for (const char* address : {"", "sqlite", "/var/lib/syzygy", "etcd://u:hidden@host/0", "u:hidden@host", ":"}) {
    const auto opened = open_store(address);
    ASSERT_FALSE(opened) << address;
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument) << address;
    EXPECT_NE(opened.error().message.find("sqlite:/DIR"), std::string::npos) << opened.error().message;
    EXPECT_EQ(opened.error().message.find("hidden"), std::string::npos) << opened.error().message;
  }
  EXPECT_NE(check_store("sqlite:").error().message.find("lacks its directory"), std::string::npos);
  EXPECT_FALSE(check_store("memory:x"));
  for (const char* address : {"postgresql://u:hidden@h/d?schema=Not%20plain", "postgresql://u:hidden@h/d?schema=",
                              "postgresql://u:hidden@h/d?schema=pg_catalog", "postgresql://u:hidden@h/d?timeout=0",
                              "postgresql://u:hidden@h/d?timeout=soon", "postgresql://u:hidden@h/d?nothing=known",
                              "postgresql://u:hid%00den@h/d", "postgresql://u:hidden%zz@h/d"}) {
    const auto refused = check_store(address);
    ASSERT_FALSE(refused) << address;
    EXPECT_EQ(refused.error().reason, "STORE_ADDRESS_INVALID");
    EXPECT_EQ(refused.error().message.find("hid"), std::string::npos) << refused.error().message;
  }
  EXPECT_TRUE(check_store("postgresql://u:hidden@h:5432/d?sslmode=require&schema=mine&timeout=9"));
}

TEST(OpenStore, PasswordsAreTakenOutOfWhatIsShown) {
  const std::pair<const char*, const char*> texts[] = {
      {"", ""},
      {"sqlite:/a/b", "sqlite:/a/b"},
      {"postgresql://u:p@h:1/d", "postgresql://u:***@h:1/d"},
      {"postgresql://u@h:1/d", "postgresql://u@h:1/d"},
      {"postgresql://h:1/d", "postgresql://h:1/d"},
      {"redis://:p@h:1/0", "redis://:***@h:1/0"},
      {"redis://u:p@ss:w/ord@h:1/0", "redis://u:***@h:1/0"},
      {"postgresql://u@h/d?password=a&x=1&sslpassword=b", "postgresql://u@h/d?password=***&x=1&sslpassword=***"},
      {"not expected: redis://a:b@c and redis://d:e@f.", "not expected: redis://a:***@c and redis://d:***@f."},
      {"see http://h/ or a@b", "see http://h/ or a@b"},
  };
  for (const auto& [text, shown] : texts) EXPECT_EQ(without_passwords(text), shown);
}

}  // namespace
}  // namespace syzygy::store_tests
