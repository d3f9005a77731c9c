// conformance.h - what store.h promises, as tests that every backend passes. conformance.cpp holds them.
//
// A backend's own test file adds a BackendUnderTest, and says which suites apply to it:
//   StoreConformance         every store
//   SharedStoreConformance   several handles on one store at a time (what several daemons hold)
//   DurableStoreConformance  what was committed outlives the process, also one that is killed
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "store/store.h"

namespace syzygy::store_tests {

// One store, empty when it is made, gone when it is destroyed.
class BackendUnderTest {
 public:
  virtual ~BackendUnderTest() = default;
  // A handle on the store. Where the backend takes one process at a time, the handle before is gone by then.
  virtual std::unique_ptr<Store> open() = 0;
  // What `store_writer` opens the store by: "sqlite:/tmp/..."; only asked of durable ones.
  virtual std::string url() { return {}; }
};

struct MakeBackend {
  std::string name;
  std::function<std::unique_ptr<BackendUnderTest>()> make;

  friend void PrintTo(const MakeBackend& backend, std::ostream* out) { *out << backend.name; }
};

inline std::string backend_name(const ::testing::TestParamInfo<MakeBackend>& info) { return info.param.name; }

class ConformanceFixture : public ::testing::TestWithParam<MakeBackend> {
 protected:
  std::unique_ptr<BackendUnderTest> backend_ = GetParam().make();
};

class StoreConformance : public ConformanceFixture {
 protected:
  std::unique_ptr<Store> store_ = backend_->open();
};
class SharedStoreConformance : public ConformanceFixture {};
class DurableStoreConformance : public ConformanceFixture {};

// What the suites, and the tests of single backends, say over and over. Each fails the running test by itself.
Version commit_one(Store& store, const Change& change);                                     // expects kCommitted
CommitOutcome outcome_of(Store& store, const Change& change);                               // whatever it is
std::optional<Loaded> load(Store& store, const std::string& key);                           // expects an answer
std::string bytes_of(Store& store, const std::string& key);                                 // expects a record
std::vector<HistoryRow> history_of(Store& store, const std::string& key);                   // all of it, paged
std::vector<std::string> keys_of(Store& store, std::string_view prefix, std::size_t page);  // all of them, paged

// Waits until the server has no connection of anybody else left. Then what those sent is done or will never be: a
// killed process, or a cut connection, may leave a whole commit behind that the server has yet to come to. False after
// 60 s.
[[nodiscard]] bool is_left_alone(Store& store);

// Loads, adds one and commits until that succeeds; appends a row of history with the number. Returns the number, or
// nullopt when the store failed.
std::optional<std::uint64_t> increment(Store& store, const std::string& key);

}  // namespace syzygy::store_tests
