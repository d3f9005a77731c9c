#include "daemon/metrics.h"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

#include "daemon/build.h"

namespace syzygy::daemon {
namespace {

class Metrics final : public prometheus::Collectable {
 public:
  Metrics(const transport::GrpcServer& grpc, std::shared_ptr<const transport::Connections> connections)
      : grpc_(grpc), connections_(std::move(connections)) {}

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    using prometheus::MetricType;
    const transport::GrpcStats stats = grpc_.stats();
    std::vector<prometheus::MetricFamily> families;
    const auto add = [&](std::string name, std::string help, MetricType type, double value) -> auto& {
      prometheus::ClientMetric metric;
      (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
      families.push_back({std::move(name), std::move(help), type, {std::move(metric)}});
      return families.back().metric.front();
    };
    add("syzygy_grpc_calls_total", "Unary gRPC calls since the start.", MetricType::Counter,
        static_cast<double>(stats.calls));
    add("syzygy_grpc_streams", "Open gRPC streams.", MetricType::Gauge, static_cast<double>(stats.streams));
    add("syzygy_grpc_parked", "gRPC calls and streams that wait.", MetricType::Gauge,
        static_cast<double>(stats.parked));
    add("syzygy_grpc_gaps_total", "Updates that slow readers did not get one by one.", MetricType::Counter,
        static_cast<double>(stats.gaps));
    add("syzygy_connections", "Open connections, both ports.", MetricType::Gauge,
        static_cast<double>(connections_->open()));
    add("syzygy_connections_max", "The limit of open connections.", MetricType::Gauge,
        static_cast<double>(connections_->max()));
    add("syzygy_connections_refused_total", "Connections beyond the limit.", MetricType::Counter,
        static_cast<double>(connections_->refused()));
    add("syzygy_build_info", "Which program this is; always 1.", MetricType::Gauge, 1).label = {{"version", version()},
                                                                                                {"commit", commit()}};
    return families;
  }

 private:
  const transport::GrpcServer& grpc_;
  std::shared_ptr<const transport::Connections> connections_;
};

}  // namespace

std::shared_ptr<prometheus::Collectable> make_metrics(const transport::GrpcServer& grpc,
                                                      std::shared_ptr<const transport::Connections> connections) {
  return std::make_shared<Metrics>(grpc, std::move(connections));
}

}  // namespace syzygy::daemon
