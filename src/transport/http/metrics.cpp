#include "transport/http/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <span>

namespace syzygy::http {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  void counter(const char* name, const char* help, std::uint64_t value) {
    ClientMetric metric;
    metric.counter.value = static_cast<double>(value);
    add(name, help, MetricType::Counter, {std::move(metric)});
  }
  void gauge(const char* name, const char* help, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    add(name, help, MetricType::Gauge, {std::move(metric)});
  }
  // `counts` is one longer than `bounds`: the last is beyond all of them.
  void histogram(const char* name, const char* help, std::span<const double> bounds,
                 std::span<const std::uint64_t> counts, double sum) {
    ClientMetric metric;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      total += counts[i];
      const double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({total, bound});
    }
    metric.histogram.sample_count = total;
    metric.histogram.sample_sum = sum;
    add(name, help, MetricType::Histogram, {std::move(metric)});
  }
  void add(const char* name, const char* help, MetricType type, std::vector<ClientMetric> metrics) {
    families_.push_back({name, help, type, std::move(metrics)});
  }
  void append(std::vector<MetricFamily> more) {
    for (auto& family : more) families_.push_back(std::move(family));
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

std::uint64_t read(const Counters::Number& number) { return number.load(std::memory_order_relaxed); }

void engine_families(Families& out, const engine::Stats& s, const engine::Health& health) {
  out.gauge("syzygy_ready", "1: the store answers and the engine runs.", health.ready ? 1 : 0);
  out.gauge("syzygy_frozen_targets", "Targets that an invariant froze.", static_cast<double>(health.frozen_targets));
  out.gauge("syzygy_resynchronising_targets", "Targets whose store went back in time: nothing is granted for a time.",
            static_cast<double>(health.resynchronising_targets));
  out.gauge("syzygy_targets_cached", "Targets held in memory.", static_cast<double>(s.targets_cached));
  out.gauge("syzygy_waiters", "Subscriptions and pending waits.", static_cast<double>(s.waiters));
  out.gauge("syzygy_commands_queued", "Commands that wait for a commit.", static_cast<double>(s.queued));
  out.counter("syzygy_commands_total", "Commands taken.", s.commands);
  out.counter("syzygy_renewals_total", "Leases renewed.", s.renewals);
  out.counter("syzygy_commits_total", "Commits of the store.", s.commits);
  std::vector<double> bounds;
  for (const std::uint64_t micros : engine::kCommitMicrosBuckets) bounds.push_back(static_cast<double>(micros) / 1e6);
  out.histogram("syzygy_commit_duration_seconds", "How long a commit of the store took.", bounds,
                s.commit_micros_histogram, static_cast<double>(s.commit_micros_sum) / 1e6);
  std::vector<double> attempts;
  for (const std::uint64_t bound : engine::kAttemptsBuckets) attempts.push_back(static_cast<double>(bound));
  out.histogram("syzygy_commit_attempts", "How often a command was tried on its record until its commit succeeded.",
                attempts, s.attempts_histogram, static_cast<double>(s.attempts_sum));
  out.counter("syzygy_committed_records_total", "Records written by those commits.", s.committed_records);
  out.counter("syzygy_commit_conflicts_total", "Records that another daemon had moved first.", s.conflicts);
  out.counter("syzygy_commits_unknown_total", "Commits whose fate was not known at once.", s.unknown_commits);
  out.counter("syzygy_store_errors_total", "Errors of the store.", s.store_errors);
  out.counter("syzygy_events_total", "Events appended to histories.", s.events);
  out.counter("syzygy_updates_sent_total", "Updates given to watchers.", s.updates_sent);
  out.counter("syzygy_rounds_opened_total", "Rounds opened.", s.rounds_opened);
  out.counter("syzygy_rounds_succeeded_total", "Rounds that succeeded.", s.rounds_succeeded);
  out.counter("syzygy_rounds_failed_total", "Rounds that failed.", s.rounds_failed);
  out.counter("syzygy_rounds_indeterminate_total", "Rounds whose outcome is not known.", s.rounds_indeterminate);
  out.counter("syzygy_tokens_granted_total", "Fencing tokens granted.", s.tokens_granted);
}

void http_families(Families& out, const Counters& c) {
  std::vector<ClientMetric> requests;
  for (std::size_t row = 0; row < c.answered.size(); ++row) {
    const auto operation = row < kOperations ? std::string(routes()[row].id) : std::string("none");
    for (std::size_t column = 0; column < c.answered[row].size(); ++column) {
      const std::uint64_t count = read(c.answered[row][column]);
      if (count == 0) continue;
      const auto status =
          column < Counters::kStatuses.size() ? std::to_string(Counters::kStatuses[column]) : std::string("other");
      ClientMetric metric;
      metric.label = {{"operation", operation}, {"status", status}};
      metric.counter.value = static_cast<double>(count);
      requests.push_back(std::move(metric));
    }
  }
  out.add("syzygy_http_requests_total", "Requests answered, by operation and status.", MetricType::Counter,
          std::move(requests));
  std::vector<std::uint64_t> seconds;
  for (const auto& bucket : c.seconds) seconds.push_back(read(bucket));
  out.histogram("syzygy_http_request_duration_seconds",
                "From a request's last byte to its answer; without waits and streams.", Counters::kSeconds, seconds,
                static_cast<double>(read(c.seconds_sum_micros)) / 1e6);
  out.gauge("syzygy_http_connections", "Open connections of the HTTP port.", static_cast<double>(read(c.connections)));
  out.gauge("syzygy_http_parked_requests", "Requests that wait for something to happen.",
            static_cast<double>(read(c.parked)));
  out.gauge("syzygy_http_streams", "Open event streams.", static_cast<double>(read(c.streams)));
  out.counter("syzygy_http_connections_accepted_total", "Connections accepted.", read(c.accepted));
  out.counter("syzygy_http_connections_refused_total", "Connections refused at the limit.", read(c.refused));
  out.counter("syzygy_http_handshakes_failed_total", "TLS handshakes that failed.", read(c.handshakes_failed));
  out.counter("syzygy_http_stream_events_total", "Events written to streams.", read(c.events));
  out.counter("syzygy_http_stream_gaps_total", "Times a slow reader lost events, but not the newest state.",
              read(c.gaps));
  out.counter("syzygy_http_slow_readers_total", "Connections closed because their reader made no progress.",
              read(c.slow_readers));
  out.counter("syzygy_http_received_bytes_total", "Bytes received.", read(c.bytes_in));
  out.counter("syzygy_http_sent_bytes_total", "Bytes sent.", read(c.bytes_out));
}

}  // namespace

std::string metrics_text(const Measured& m) {
  Families out;
  engine_families(out, m.stats, m.health);
  http_families(out, m.counters);
  for (const auto& collectable : m.collectables) {
    if (collectable) out.append(collectable->Collect());
  }
  return out.text();
}

}  // namespace syzygy::http
