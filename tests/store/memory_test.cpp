#include "store/memory.h"

#include "tests/store/conformance.h"

namespace syzygy::store_tests {
namespace {

class Memory final : public BackendUnderTest {
 public:
  std::unique_ptr<Store> open() override { return first_.another_handle(); }

 private:
  MemoryStore first_;
};

const MakeBackend kMemory{"Memory", [] { return std::make_unique<Memory>(); }};

INSTANTIATE_TEST_SUITE_P(Backend, StoreConformance, ::testing::Values(kMemory), backend_name);
INSTANTIATE_TEST_SUITE_P(Backend, SharedStoreConformance, ::testing::Values(kMemory), backend_name);

TEST(MemoryStore, TimeIsWhatItIsGiven) {
  Instant time{5};
  MemoryStore store([&] { return time; });
  EXPECT_EQ(store.now(), Instant{5});
  time = Instant{3};
  EXPECT_EQ(store.another_handle()->now(), Instant{3});
}

TEST(MemoryStore, WhatNobodyWaitsForIsNotHinted) {
  MemoryStore one;
  const auto two = one.another_handle();
  std::vector<std::string> hints;
  two->watch([&](const std::string& key, const Version&) { hints.push_back(key); });
  const Version first = commit_one(one, {.key = "a"});
  commit_one(one, {.key = "a", .expected = first, .hint = false});
  commit_one(one, {.key = "b"});
  EXPECT_EQ(hints, (std::vector<std::string>{"a", "b"}));
}

TEST(MemoryStore, RecordsOutliveTheHandleThatWroteThem) {
  auto one = std::make_unique<MemoryStore>();
  const auto two = one->another_handle();
  commit_one(*one, {.key = "a", .bytes = "1"});
  one.reset();
  EXPECT_EQ(bytes_of(*two, "a"), "1");
}

}  // namespace
}  // namespace syzygy::store_tests
