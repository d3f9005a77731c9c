#include "store/postgres.h"

#include <gmock/gmock.h>

#include "tests/store/conformance.h"
#include "tests/support/postgres.h"

namespace syzygy::store_tests {
namespace {

using test::PostgresServer;
using ::testing::HasSubstr;
using ::testing::Not;

PostgresServer& server() { return PostgresServer::shared(); }

const std::string& database() {
  static const std::string name = server().create_database("store");
  return name;
}

// A schema of its own in the server that all tests share.
class Postgres final : public BackendUnderTest {
 public:
  ~Postgres() override { server().sql(database(), "drop schema if exists " + schema_ + " cascade"); }
  std::unique_ptr<Store> open() override {
    auto store = PostgresStore::open(url());
    if (store) return std::move(*store);
    ADD_FAILURE() << store.error().message;
    return nullptr;
  }
  std::string url() override { return server().url(database()) + "?schema=" + schema_; }
  [[nodiscard]] const std::string& schema() const { return schema_; }

 private:
  static inline int made_ = 0;
  const std::string schema_ = "s" + std::to_string(++made_);
};

const MakeBackend kPostgres{"Postgres", [] { return std::make_unique<Postgres>(); }};
std::string name(const ::testing::TestParamInfo<MakeBackend>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Backend, StoreConformance, ::testing::Values(kPostgres), name);
INSTANTIATE_TEST_SUITE_P(Backend, SharedStoreConformance, ::testing::Values(kPostgres), name);
INSTANTIATE_TEST_SUITE_P(Backend, DurableStoreConformance, ::testing::Values(kPostgres), name);

}  // namespace
}  // namespace syzygy::store_tests
