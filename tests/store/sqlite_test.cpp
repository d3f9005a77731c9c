#include "store/sqlite.h"

#include "tests/store/child.h"
#include "tests/store/conformance.h"
#include "tests/store/temporary_directory.h"

namespace syzygy::store_tests {
namespace {

class Sqlite final : public BackendUnderTest {
 public:
  std::unique_ptr<Store> open() override {
    auto store = SqliteStore::open(directory_.path());
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
  }
  std::string url() override { return "sqlite:" + directory_.path().native(); }

 private:
  TemporaryDirectory directory_;
};

const MakeBackend kSqlite{"Sqlite", [] { return std::make_unique<Sqlite>(); }};
std::string name(const ::testing::TestParamInfo<MakeBackend>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Backend, StoreConformance, ::testing::Values(kSqlite), name);
INSTANTIATE_TEST_SUITE_P(Backend, DurableStoreConformance, ::testing::Values(kSqlite), name);

}  // namespace
}  // namespace syzygy::store_tests
