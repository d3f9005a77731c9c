#include "transport/grpc/server.h"

#include <absl/synchronization/mutex.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <limits>
#include <mutex>
#include <utility>

#include "grpc/health/v1/health.pb.h"
#include "transport/grpc/barrier.h"
#include "transport/grpc/context.h"
#include "transport/grpc/coordinator.h"
#include "transport/grpc/listener.h"

namespace syzygy::transport {
namespace {

constexpr int kMetadataBytesMax = 16 * 1024;
constexpr int kLookaheadBytes = 1 << 20;
constexpr int kStreamsPerConnectionMax = 20'000;
constexpr int kClientPingEveryMin = 5'000;  // ms; a client that pings more often is told to go away

int milliseconds(Duration duration) {
  return static_cast<int>(std::min<std::int64_t>(duration.count(), std::numeric_limits<int>::max()));
}

std::shared_ptr<grpc::ServerCredentials> credentials_of(const std::optional<Tls>& tls) {
  if (!tls) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({tls->private_key, tls->certificate_chain});
  return grpc::SslServerCredentials(options);
}

// Plugins and the health switch are process-wide and must be set before the first builder.
void prepare_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Debian's Abseil looks for deadlocks at every lock; gRPC's locks are not ours to mend.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // The health service of the library knows no descriptors; reflection shows its methods only if they are linked in.
    (void)grpc::health::v1::HealthCheckRequest::descriptor();
  });
}

class Server final : public GrpcServer {
 public:
  Server(api::Service& service, GrpcOptions options)
      : options_(std::move(options)),
        context_(service, options_.token, options_.fanout_threads),
        coordinator_(make_coordinator(context_)),
        barrier_(make_barrier(context_)) {}
  ~Server() override { stop(Duration{0}); }

  Result<void> open() {
    const auto address = parse_address(options_.address);
    if (!address) return std::unexpected(address.error());
    if (options_.tls) {
      if (auto ok = check(*options_.tls); !ok) return ok;
    }
    auto connections = options_.connections ? options_.connections : std::make_shared<Connections>();
    auto listener = Listener::open(*address, std::move(connections));
    if (!listener) return std::unexpected(std::move(listener.error()));
    listener_ = *std::move(listener);

    prepare_library();
    grpc::ServerBuilder builder;
    builder.RegisterService(coordinator_.get()).RegisterService(barrier_.get());
    builder.SetMaxReceiveMessageSize(static_cast<int>(api::kRequestBytesMax));
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, milliseconds(options_.handshake_timeout));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options_.keepalive));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(options_.keepalive_timeout));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kClientPingEveryMin);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, milliseconds(options_.idle_max));
    // Every message that comes in would be answered by a ping that measures the line: two wake-ups more for each
    // renewal. In exchange a stream may be this far ahead of us from the start.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookaheadBytes);
    // Less memory for each connection: nobody reads channelz, and answers are not worth compressing.
    builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials_of(options_.tls));
    server_ = builder.BuildAndStart();
    if (!server_) {
      return failure(ErrorCode::kUnavailable, "LISTEN_FAILED", "gRPC could not start its server.",
                     {{"address", options_.address}});
    }
    follow_health();
    listener_->run(
        [this](int descriptor) {
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
          connection.fd = descriptor;
          acceptor_->HandleNewConnection(&connection);
        },
        [this] { follow_health(); });
    return {};
  }

  [[nodiscard]] std::uint16_t port() const override { return listener_->port(); }

  [[nodiscard]] GrpcStats stats() const override {
    return {.calls = context_.calls.load(),
            .streams = context_.streams.load(),
            .gaps = context_.gaps.load(),
            .parked = context_.parking.size()};
  }

  void stop(Duration drain) override {
    if (listener_) listener_->stop();
    if (!server_) return;
    context_.gate.close();
    server_->GetHealthCheckService()->Shutdown();
    context_.parking.close(shutting_down());
    // Not Shutdown(drain): that also waits for every idle client to hang up, and for requests that never come whole.
    (void)context_.gate.wait_empty(drain);
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }

 private:
  void follow_health() {
    const bool ready = context_.service.health().ready;
    if (ready == serving_) return;
    serving_ = ready;
    server_->GetHealthCheckService()->SetServingStatus(ready);
    for (const char* name : {"syzygy.v1.Coordinator", "syzygy.v1.Barrier"}) {
      server_->GetHealthCheckService()->SetServingStatus(name, ready);
    }
  }

  const GrpcOptions options_;
  Context context_;
  std::unique_ptr<grpc::Service> coordinator_;
  std::unique_ptr<grpc::Service> barrier_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<bool> serving_;
};

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(api::Service& service, GrpcOptions options) {
  auto server = std::make_unique<Server>(service, std::move(options));
  if (auto ok = server->open(); !ok) return std::unexpected(std::move(ok.error()));
  return server;
}

}  // namespace syzygy::transport
