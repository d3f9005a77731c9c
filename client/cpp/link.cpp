#include "client/cpp/link.h"

#include <absl/synchronization/mutex.h>
#include <arpa/inet.h>
#include <grpc/support/log.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>

#include "client/cpp/credentials.h"
#include "client/cpp/probe.h"
#include "client/cpp/probe_until.h"

namespace syzygy {

namespace {

constexpr int kLookaheadBytes = 1 << 20;  // many times what a watch tells at a time

int ms_of(Duration d) { return static_cast<int>(std::clamp<Duration::rep>(d.count(), 1, 3'600'000)); }

std::shared_ptr<grpc::Channel> open_channel(const ClientOptions& options, const Endpoint& endpoint,
                                            const std::string& ca) {
  grpc::ChannelArguments args;
  args.SetUserAgentPrefix(options.user_agent);
  // A channel that is thrown away takes its connection with it; a new one really connects anew.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, ms_of(options.attempt_timeout));
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // repeated here, where the bounds are known
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // a build machine's proxy for the web is no way to a daemon
  // A connection that went dead without a word (a pulled cable, a lost NAT entry) is noticed within 15 s.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Every message that comes in would be answered by a ping that measures the line: another wake-up and another answer
  // of the daemon's for each heartbeat. In exchange a stream may be this far ahead of us from the start.
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookaheadBytes);
  args.SetMaxReceiveMessageSize(64 << 20);
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (options.tls) {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = ca;
    credentials = grpc::SslCredentials(ssl);
    if (!options.server_name.empty()) args.SetSslTargetNameOverride(options.server_name);
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  // An address needs no resolver, which would read its own configuration first.
  in_addr address{};
  const bool literal = ::inet_pton(AF_INET, endpoint.host.c_str(), &address) == 1;
  return grpc::CreateCustomChannel((literal ? "ipv4:" : "dns:///") + endpoint.text(), credentials, args);
}

// The gRPC library writes every failed handshake to stderr by itself, in the midst of what the CLI shows a person. What
// it says is in our errors; only the words with which it aborts must not be lost. GRPC_VERBOSITY brings all of it back.
void quiet_grpc() {
  static const bool once = [] {
    // Debian's Abseil looks for deadlocks at every lock, and aborts at a suspicion; gRPC's locks are not ours to mend.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    if (std::getenv("GRPC_VERBOSITY") != nullptr) return true;
    gpr_set_log_function([](gpr_log_func_args* said) {
      if (!std::string_view(said->message).starts_with("assertion failed")) return;
      std::fprintf(stderr, "%s:%d: %s\n", said->file, said->line, said->message);
    });
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

double chance() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

Link::Link(ClientOptions options, std::string ca, std::string token)
    : options_(std::move(options)),
      ca_(std::move(ca)),
      token_(std::move(token)),
      lines_(options_.endpoints.size()),
      troubles_(options_.endpoints.size()) {
  quiet_grpc();
  thread_ = std::thread([this] {
    if (options_.connect_at_once) line()->channel->GetState(true);
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      handed_over_.load(std::memory_order_acquire);
      static_cast<Completion*>(tag)->complete(ok);
    }
  });
}

Link::~Link() {
  queue_.Shutdown();
  thread_.join();
}

std::shared_ptr<const Line> Link::line() {
  const std::lock_guard lock(mutex_);
  auto& line = lines_[active_];
  if (!line) line = open(active_);
  return line;
}

std::shared_ptr<const Line> Link::open(std::size_t endpoint) {
  auto line = std::make_shared<Line>();
  line->endpoint = endpoint;
  line->serial = ++serials_;
  line->channel = open_channel(options_, options_.endpoints[endpoint], ca_);
  line->coordinator = v1::Coordinator::NewStub(line->channel);
  line->barrier = v1::Barrier::NewStub(line->channel);
  return line;
}

void Link::prepare(grpc::ClientContext& context, BootTime deadline) {
  if (deadline != BootTime::max()) {
    context.set_deadline(std::chrono::system_clock::now() + (deadline - BootClock::now()));
  }
  const std::lock_guard lock(mutex_);
  if (!token_.empty()) context.AddMetadata("authorization", "Bearer " + token_);
}

void Link::answered(const Line& line) {
  ever_answered_.store(true, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  troubles_[line.endpoint] = {};
  answered_by_ = options_.endpoints[line.endpoint].text();
}

void Link::lost(const Line& line, const Failed& why, Duration waited) {
  const std::lock_guard lock(mutex_);
  Trouble& trouble = troubles_[line.endpoint];
  // The silence of an attempt that the caller's own end cut short says less than what was said before.
  const bool cut_short = why.error.reason == "NO_ANSWER" && waited < options_.attempt_timeout;
  if (!cut_short || trouble.said.empty()) {
    trouble = {};
    trouble.said = why.error.message;
    if (why.from_daemon) trouble.daemon = why.error;
  }
  auto& open_line = lines_[line.endpoint];
  const bool is_current = open_line && open_line->serial == line.serial;
  if (!is_current) return;  // another thread's call met the same trouble before
  if (!why.from_daemon) open_line.reset();
  if (active_ == line.endpoint) active_ = (active_ + 1) % lines_.size();
}

bool Link::refresh_token() {
  if (options_.token_file.empty()) return false;
  auto token = read_token(options_.token_file);
  if (!token) return false;
  const std::lock_guard lock(mutex_);
  if (*token == token_) return false;
  token_ = std::move(*token);
  return true;
}

std::optional<Error> Link::hopeless(const Line& line, const Failed& why, BootTime until, const StopSource* stop) {
  constexpr Duration kLook{1'500};
  constexpr Duration kWorthIt{100};
  if (ever_answered() || why.from_daemon) return std::nullopt;
  const BootTime now = BootClock::now();
  if (until - now < kWorthIt || why.error.message.find("DNS resolution") != std::string::npos) return std::nullopt;
  const Probe seen = probe_until(options_.endpoints[line.endpoint], options_, std::min(until, now + kLook), stop);
  if (seen.answer == Answer::kHttp2) return std::nullopt;  // what gRPC said is all there is

  const std::lock_guard lock(mutex_);
  Trouble& trouble = troubles_[line.endpoint];
  trouble.said = seen.said;
  trouble.mismatch = is_mismatch(seen.answer);
  trouble.reason = seen.answer == Answer::kWantsTls || seen.answer == Answer::kNoTls ? "TLS_MISMATCH" : "TLS_REFUSED";
  if (!std::ranges::all_of(troubles_, &Trouble::mismatch)) return std::nullopt;
  Error error{ErrorCode::kUnavailable, trouble.reason, {}, {}, std::nullopt};
  for (const auto& t : troubles_) error.message += (error.message.empty() ? "" : " ") + t.said;
  return error;
}

Error Link::unreachable(Duration tried) const {
  const std::lock_guard lock(mutex_);
  if (troubles_.size() == 1 && troubles_[0].daemon) return *troubles_[0].daemon;
  Error error{ErrorCode::kUnavailable, "DAEMON_UNREACHABLE", {}, {}, std::nullopt};
  const auto seconds = (tried.count() + 500) / 1'000;
  error.message = "No daemon answered within " +
                  (seconds > 0 ? std::to_string(seconds) + " s" : std::to_string(tried.count()) + " ms") + ". Tried ";
  std::string names;
  for (std::size_t i = 0; i < troubles_.size(); ++i) {
    const std::string name = options_.endpoints[i].text();
    std::string_view said = troubles_[i].said;
    if (said.starts_with(name + ": ")) said.remove_prefix(name.size() + 2);
    while (said.ends_with('.')) said.remove_suffix(1);
    error.message += (i > 0 ? "; " : "") + name + ": " + (said.empty() ? "not tried in time" : std::string(said));
    names += (i > 0 ? "," : "") + name;
  }
  error.message += ". Check that syzygyd runs and that --daemon names its gRPC address; `syzygy doctor` looks closer.";
  error.metadata.emplace("endpoints", std::move(names));
  return error;
}

std::string Link::answered_by() const {
  const std::lock_guard lock(mutex_);
  return answered_by_;
}

}  // namespace syzygy
