// syzygy doctor: what usually goes wrong, what caused it, and the next command to type.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "client/cli/commands.h"
#include "client/cli/convert.h"
#include "client/cli/exit_codes.h"
#include "client/cli/migrations.h"
#include "client/cpp/probe.h"

namespace syzygy::cli {
namespace {

constexpr Duration kProbeMax{3'000};
constexpr Duration kClockSkewMax{30'000};

class Doctor {
 public:
  explicit Doctor(const Context& context) : context_(context), s_(context.settings) {}

  int run() {
    look_at_settings();
    const bool answers = look_at_daemon();
    if (answers && !s_.target.empty()) look_at_target();
    if (!s_.database.empty()) look_at_database();
    if (!s_.dir.empty()) look_at_directory();
    print();
    for (const migration::Finding& finding : findings_) {
      if (!finding.ok) return kExitFindings;
    }
    return kExitOk;
  }

 private:
  void good(std::string name, std::string cause) { findings_.push_back({std::move(name), true, std::move(cause), {}}); }
  void bad(std::string name, std::string cause, std::string next) {
    findings_.push_back({std::move(name), false, std::move(cause), std::move(next)});
  }

  void look_at_settings() {
    if (s_.target.empty())
      bad("target", "no target is named, so its state cannot be looked at",
          "syzygy status   # lists the targets; then: syzygy doctor --target NAME");
    if (s_.database.empty())
      bad("database", "no database is named, so it was not looked at",
          "syzygy doctor --database postgresql://user@host/db");
    if (s_.dir.empty())
      bad("migrations", "no migrations directory is named, so it was not looked at", "syzygy doctor --dir migrations");
  }

  bool look_at_daemon() {
    auto endpoints = parse_endpoints(s_.daemon);
    if (!endpoints) {
      bad("daemon", endpoints.error().message, "syzygy doctor --daemon 127.0.0.1:7411");
      return false;
    }
    ClientOptions options;
    options.endpoints = *endpoints;
    options.tls = s_.tls;
    options.ca_file = s_.ca_file;
    options.server_name = s_.server_name;
    options.token_file = s_.token_file;
    options.insecure_token = s_.insecure_token;
    options.connect_timeout = kProbeMax;
    bool any = false;
    for (const Endpoint& endpoint : *endpoints) any = look_at_endpoint(endpoint, options) || any;
    if (!any) return false;
    auto client = Client::open(options);
    if (!client) {
      bad("daemon", client.error().message, "syzygy doctor --help   # see --token-file and --ca-file");
      return false;
    }
    client_ = *client;
    const auto answer =
        client_->list_targets(v1::ListTargetsRequest{}, Bound{BootClock::now() + kProbeMax, &context_.stop});
    if (answer) return true;
    if (answer.error().code == ErrorCode::kUnauthenticated || answer.error().code == ErrorCode::kPermissionDenied) {
      bad("token", "the daemon refuses this client: " + answer.error().message,
          "syzygy doctor --token-file /path/to/the/daemon's/token");
    } else {
      const bool store = answer.error().reason.starts_with("STORE_");  // the daemon's own word
      bad("daemon",
          (store ? "it answers, but not its store: " : "it accepts connections, but does not answer: ") +
              answer.error().message,
          "curl http://<daemon's host>:7410/readyz");
    }
    return false;
  }

  bool look_at_endpoint(const Endpoint& endpoint, const ClientOptions& options) {
    const Probe seen = probe(endpoint, options, kProbeMax);
    const std::string name = "daemon " + endpoint.text();
    switch (seen.answer) {
      case Answer::kHttp2:
        good(name, seen.said);
        return true;
      case Answer::kHttp1:
        bad(name, seen.said,
            "syzygy doctor --daemon " + Endpoint{endpoint.host, kGrpcPortDefault}.text() +
                "   # gRPC is 7411, HTTP is 7410");
        break;
      case Answer::kRefused:
        bad(name, seen.said, "systemctl status syzygyd   # on that host; or start it: syzygyd");
        break;
      case Answer::kWantsTls:
        bad(name, seen.said, "syzygy doctor --tls --ca-file ca.pem");
        break;
      case Answer::kNoTls:
        bad(name, seen.said, "syzygy doctor   # without --tls and --ca-file");
        break;
      case Answer::kUntrusted:
        bad(name, seen.said, "syzygy doctor --ca-file ca.pem   # the authority that signed the daemon's certificate");
        break;
      case Answer::kWrongName:
        bad(name, seen.said, "syzygy doctor --server-name NAME   # as the certificate says");
        break;
      default:
        bad(name, seen.said, "ping " + endpoint.host);
        break;
    }
    return false;
  }

  void look_at_target() {
    v1::GetTargetRequest request;
    request.set_target(s_.target);
    const auto sent = std::chrono::system_clock::now();
    const auto answer = client_->get_target(request, Bound{BootClock::now() + kProbeMax, &context_.stop});
    if (!answer) {
      if (answer.error().code == ErrorCode::kNotFound) {
        good("target " + s_.target, "the daemon has not heard of it yet: nobody joined");
      } else {
        bad("target " + s_.target, answer.error().message, "syzygy status");
      }
      return;
    }
    target_ = answer->target();
    const auto theirs = std::chrono::system_clock::time_point(std::chrono::seconds(target_->now().seconds()));
    const auto skew = std::chrono::duration_cast<Duration>(theirs > sent ? theirs - sent : sent - theirs);
    if (target_->now().seconds() > 0 && skew > kClockSkewMax) {
      bad("clock",
          fmt::format(
              "the daemon's clock and this machine's differ by {} s; leases are safe, but times in histories mislead",
              skew.count() / 1'000),
          "timedatectl   # here and on the daemon's host");
    } else {
      good("clock", "agrees with the daemon's");
    }
    if (target_->frozen())
      bad("target " + s_.target, "it is frozen: its record is of a newer syzygyd, or damaged, or an invariant failed",
          "journalctl -u syzygyd   # names the replay file; please report it");
    for (const auto& round : target_->rounds()) {
      if (round.state() == v1::ROUND_STATE_INDETERMINATE) {
        bad("round " + round.id(), "it is INDETERMINATE and holds the target: " + round.outcome().message(),
            "syzygy resolve --target " + s_.target + " --database URL --reason \"...\"");
      }
      for (const auto& divergence : round.diverged()) {
        bad("round " + round.id(), "parties hold different plans: " + divergence.first_difference(),
            "syzygy status --target " + s_.target);
      }
    }
  }

  void look_at_database() {
    for (migration::Finding& finding : migration::diagnose_target(s_.database, target_options(context_)))
      findings_.push_back(std::move(finding));
    if (!target_ || !target_->has_binding()) return;
    auto opened = migration::open_target(s_.database, target_options(context_));
    if (!opened) return;
    const auto identity = (*opened)->identity();
    if (!identity) return;
    const v1::Binding mine = binding_of(*identity, s_.application);
    const v1::Binding& bound = target_->binding();
    if (!mine.minted_id().empty() && (mine.minted_id() != bound.minted_id() || mine.system_id() != bound.system_id() ||
                                      mine.database() != bound.database())) {
      bad("binding",
          "the target " + s_.target + " is bound to the database " + bound.database() + " (system " +
              bound.system_id() + "), and this is " + mine.database() + " (system " + mine.system_id() + ")",
          "syzygy target rebind " + s_.target +
              " --database URL --reason \"...\"   # after a restore; else use another --target");
    } else {
      good("binding", "the target and the database know each other");
    }
  }

  void look_at_directory() {
    const auto directory = read_directory(s_.dir, {dialect_of(s_.database), s_.format});
    if (!directory) return bad("migrations", directory.error().message, "ls -l " + s_.dir);
    good("migrations", fmt::format("{} migrations, the last is {}", directory->size(), directory->back().id.value));
    if (s_.database.empty()) return;
    auto opened = Migrations::open(context_);
    if (!opened) return;  // said already
    const auto looked = opened->look();
    if (!looked && looked.error().reason == "TARGET_NAME_DIFFERS") return;  // likewise
    const bool disagrees =
        !looked && (looked.error().reason == "STEP_CHANGED" || looked.error().reason == "OUT_OF_ORDER");
    if (!looked && !disagrees) return bad("plan", looked.error().message, "syzygy plan --dir " + s_.dir);
    if (!looked) {
      return bad("history", "the directory disagrees with the history in the database: " + looked.error().message,
                 "syzygy history --database URL");
    }
    std::string more;
    for (const StepId& id : looked->plan.not_in_directory) more += (more.empty() ? "" : ", ") + id.value;
    if (!more.empty()) {
      return bad("history", "applied, but not in this directory: " + more + " (is this an older image?)",
                 "syzygy history --database URL");
    }
    good("history", fmt::format("agrees with the directory; {} pending", looked->plan.steps.size()));
  }

  void print() const {
    if (s_.output == "json") {
      boost::json::array all;
      for (const migration::Finding& f : findings_)
        all.push_back(boost::json::object{{"name", f.name}, {"ok", f.ok}, {"cause", f.cause}, {"next", f.next}});
      fmt::print("{}\n", boost::json::serialize(boost::json::object{{"findings", all}}));
      return;
    }
    for (const migration::Finding& f : findings_) {
      fmt::print("{}  {}: {}\n", f.ok ? "ok  " : "look", f.name, f.cause);
      if (!f.ok && !f.next.empty()) fmt::print("      next: {}\n", f.next);
    }
  }

  const Context& context_;
  const Settings& s_;
  std::vector<migration::Finding> findings_;
  std::shared_ptr<Client> client_;
  std::optional<v1::Target> target_;
};

}  // namespace

int run_doctor(const Context& context) { return Doctor(context).run(); }

}  // namespace syzygy::cli
