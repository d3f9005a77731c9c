// Every call over a real port, its errors with their details, deadlines, cancellation, authorisation and TLS.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/sync_stream.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include "grpc/health/v1/health.pb.h"
#include "grpc_world.h"
#include "transport/grpc/status.h"

namespace syzygy::transport {
namespace {

using v1::Coordinator;

v1::RequestId id_of(const std::string& party, std::uint64_t sequence) {
  v1::RequestId id;
  id.set_incarnation("i-" + party);
  id.set_sequence(sequence);
  return id;
}

TEST(Calls, AWholeRound) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse first;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &first).ok());
  EXPECT_EQ(first.verdict(), v1::VERDICT_WAIT);
  EXPECT_EQ(first.target().rounds(0).state(), v1::ROUND_STATE_GATHERING);
  EXPECT_GT(first.lease_left().seconds() + first.lease_left().nanos(), 0);
  EXPECT_GT(first.renew_after().seconds() + first.renew_after().nanos(), 0);

  v1::JoinResponse second;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "us", 2), &second).ok());
  const v1::Round& round = second.target().rounds(0);
  ASSERT_EQ(round.state(), v1::ROUND_STATE_ELECTED);
  EXPECT_EQ(round.applier().party(), "us") << "whose join completed the quorum";
  const std::uint64_t token = round.applier().token();

  v1::RenewRequest renew;
  renew.set_target("orders");
  renew.set_incarnation("i-us");
  renew.set_token(token);
  v1::RenewResponse renewed;
  ASSERT_TRUE(stub->Renew(within().get(), renew, &renewed).ok());
  EXPECT_TRUE(renewed.applier());

  v1::ConfirmRequest confirm;
  *confirm.mutable_request() = id_of("us", 2);
  confirm.set_target("orders");
  confirm.set_round_id(round.id());
  confirm.set_token(token);
  confirm.set_claim(v1::ConfirmRequest::CLAIM_COMPLETE);
  confirm.set_fenced(true);
  confirm.mutable_finding()->set_kind(v1::Finding::KIND_WHOLE);
  v1::ConfirmResponse confirmed;
  ASSERT_TRUE(stub->Confirm(within().get(), confirm, &confirmed).ok());
  EXPECT_EQ(confirmed.verdict(), v1::VERDICT_PROCEED);
  EXPECT_EQ(confirmed.target().rounds(0).state(), v1::ROUND_STATE_APPLYING);

  v1::ProgressRequest progress;
  progress.set_target("orders");
  progress.set_round_id(round.id());
  progress.set_incarnation("i-us");
  progress.set_token(token);
  progress.mutable_progress()->set_step_id("step-10001");
  progress.mutable_progress()->set_note("statement 1 of 1");
  v1::ProgressResponse progressed;
  ASSERT_TRUE(stub->Progress(within().get(), progress, &progressed).ok());
  EXPECT_FALSE(progressed.severed());

  v1::ReportRequest report;
  *report.mutable_request() = id_of("us", 3);
  report.set_target("orders");
  report.set_round_id(round.id());
  report.set_token(token);
  report.set_result(v1::ReportRequest::RESULT_SUCCEEDED);
  report.set_steps_done(1);
  report.set_in_target(true);
  v1::ReportResponse reported;
  ASSERT_TRUE(stub->Report(within().get(), report, &reported).ok());
  EXPECT_EQ(reported.verdict(), v1::VERDICT_DONE);
  EXPECT_EQ(reported.target().rounds(0).outcome().state(), v1::ROUND_STATE_SUCCEEDED);

  v1::GetTargetRequest get;
  get.set_target("orders");
  v1::GetTargetResponse got;
  ASSERT_TRUE(stub->GetTarget(within().get(), get, &got).ok());
  EXPECT_EQ(got.target().rounds(0).state(), v1::ROUND_STATE_SUCCEEDED);

  v1::ListEventsRequest list;
  list.set_target("orders");
  v1::ListEventsResponse events;
  ASSERT_TRUE(stub->ListEvents(within().get(), list, &events).ok());
  ASSERT_EQ(static_cast<std::uint64_t>(events.events_size()), got.target().revision()) << "no gaps";
  for (int i = 0; i < events.events_size(); ++i) {
    EXPECT_EQ(events.events(i).revision(), static_cast<std::uint64_t>(i + 1));
  }
  EXPECT_FALSE(events.more());
  list.set_page_size(2);
  ASSERT_TRUE(stub->ListEvents(within().get(), list, &events).ok());
  EXPECT_EQ(events.events_size(), 2);
  EXPECT_TRUE(events.more());
}

TEST(Calls, OperatorsAndLeaving) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::SetTargetRequest set;
  *set.mutable_request() = id_of("ann", 1);
  set.set_target("billing");
  set.set_actor("ann");
  set.set_reason("two regions");
  set.mutable_pin()->mutable_quorum()->set_parties(2);
  v1::SetTargetResponse pinned;
  ASSERT_TRUE(stub->SetTarget(within().get(), set, &pinned).ok());
  EXPECT_EQ(pinned.target().pin().parties(), 2U);

  v1::JoinRequest join = join_request("billing", "eu", 2);
  join.clear_quorum();
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join, &joined).ok());
  EXPECT_EQ(joined.target().rounds(0).quorum().parties(), 2U) << "the pin's";

  v1::LeaveRequest leave;
  *leave.mutable_request() = id_of("eu", 2);
  leave.set_target("billing");
  leave.set_reason("SIGTERM");
  v1::LeaveResponse left;
  ASSERT_TRUE(stub->Leave(within().get(), leave, &left).ok());
  EXPECT_EQ(left.verdict(), v1::VERDICT_DONE);

  join.mutable_request()->set_incarnation("i-eu-2");
  ASSERT_TRUE(stub->Join(within().get(), join, &joined).ok());
  v1::SeverRequest sever;
  *sever.mutable_request() = id_of("ann", 2);
  sever.set_target("billing");
  sever.set_actor("ann");
  sever.set_reason("wrong release");
  v1::SeverResponse severed;
  ASSERT_TRUE(stub->Sever(within().get(), sever, &severed).ok());
  EXPECT_GE(severed.round_ids_size(), 1);
  EXPECT_EQ(severed.target().rounds(0).state(), v1::ROUND_STATE_DISSOLVED);

  v1::ResolveRequest resolve;
  *resolve.mutable_request() = id_of("ann", 3);
  resolve.set_target("billing");
  resolve.set_round_id(severed.round_ids(0));
  resolve.set_actor("ann");
  resolve.set_reason("x");
  resolve.set_phase(v1::ResolveRequest::PHASE_BEGIN);
  v1::ResolveResponse resolved;
  const grpc::Status refused = stub->Resolve(within().get(), resolve, &resolved);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << "it is not indeterminate";
  EXPECT_FALSE(details_of(refused).info.reason().empty());
}

TEST(Calls, ListsInPages) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  for (const char* name : {"a-1", "a-2", "a-3", "b-1"}) {
    v1::JoinResponse joined;
    ASSERT_TRUE(stub->Join(within().get(), join_request(name, "eu", 2), &joined).ok());
  }
  v1::ListTargetsRequest request;
  request.set_prefix("a-");
  request.set_page_size(2);
  v1::ListTargetsResponse page;
  ASSERT_TRUE(stub->ListTargets(within().get(), request, &page).ok());
  ASSERT_EQ(page.targets_size(), 2);
  EXPECT_EQ(page.targets(0).name(), "a-1");
  EXPECT_EQ(page.targets(0).present(), 1U);
  EXPECT_EQ(page.targets(0).needed(), 2U);
  request.set_page_token(page.next_page_token());
  v1::ListTargetsResponse last;
  ASSERT_TRUE(stub->ListTargets(within().get(), request, &last).ok());
  ASSERT_EQ(last.targets_size(), 1);
  EXPECT_EQ(last.targets(0).name(), "a-3");
  EXPECT_TRUE(last.next_page_token().empty());
}

TEST(Calls, ABarrierOpensForThoseWhoWait) {
  const World world;
  const auto enter = [&](const std::string& party, v1::BarrierResponse* response) {
    v1::EnterRequest request;
    request.set_namespace_("deploy");
    request.set_quorum(3);
    request.set_party(party);
    request.set_incarnation("i-" + party);
    request.mutable_wait()->set_seconds(20);
    return v1::Barrier::NewStub(world.channel())->Enter(within().get(), request, response);
  };
  std::vector<v1::BarrierResponse> responses(3);
  std::vector<std::thread> parties;
  for (int i = 0; i < 3; ++i) {
    parties.emplace_back([&, i] { EXPECT_TRUE(enter("p" + std::to_string(i), &responses[i]).ok()); });
  }
  for (std::thread& party : parties) party.join();
  int completed = 0;
  for (const v1::BarrierResponse& response : responses) {
    EXPECT_EQ(response.state(), v1::BARRIER_STATE_OPEN);
    EXPECT_EQ(response.present(), 3U);
    completed += response.completed_by_you() ? 1 : 0;
  }
  EXPECT_EQ(completed, 1);

  const auto stub = v1::Barrier::NewStub(world.channel());
  v1::AwaitRequest await;
  await.set_namespace_("deploy");
  await.set_generation(responses[0].generation());
  await.set_incarnation("i-p0");
  v1::BarrierResponse again;
  ASSERT_TRUE(stub->Await(within().get(), await, &again).ok());
  EXPECT_EQ(again.state(), v1::BARRIER_STATE_OPEN);

  v1::SeverBarrierRequest sever;
  sever.set_namespace_("deploy");
  sever.set_quorum(3);
  sever.set_party("p0");
  sever.set_incarnation("i-x");
  sever.set_reason("enough");
  ASSERT_TRUE(stub->SeverBarrier(within().get(), sever, &again).ok());
  EXPECT_EQ(again.state(), v1::BARRIER_STATE_SEVERED);
  EXPECT_EQ(again.reason(), "enough");
}

TEST(Errors, CarryReasonAndMetadata) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse response;
  v1::JoinRequest bad = join_request("orders", "eu", 2);
  bad.set_party("line\nbreak");
  const grpc::Status name = stub->Join(within().get(), bad, &response);
  EXPECT_EQ(name.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(details_of(name).info.metadata().at("field"), "party");

  bad = join_request("orders", "eu", 2);
  bad.mutable_timeout()->set_seconds(-1);
  const grpc::Status negative = stub->Join(within().get(), bad, &response);
  EXPECT_EQ(negative.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(details_of(negative).info.reason(), "DURATION_INVALID");
  EXPECT_EQ(details_of(negative).info.metadata().at("field"), "timeout");
  EXPECT_FALSE(details_of(negative).retry) << "the same again would be refused again";

  v1::GetTargetRequest get;
  get.set_target("nobody-named-it");
  v1::GetTargetResponse got;
  const grpc::Status unknown = stub->GetTarget(within().get(), get, &got);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(details_of(unknown).info.reason(), "TARGET_UNKNOWN");

  v1::JoinResponse first;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &first).ok());
  const grpc::Status mismatch = stub->Join(within().get(), join_request("orders", "us", 3), &response);
  EXPECT_EQ(mismatch.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(details_of(mismatch).info.reason(), "QUORUM_MISMATCH");
}

TEST(Errors, TellWhenToTryAgain) {
  World world;
  const auto stub = Coordinator::NewStub(world.channel());
  world.engine->stop();
  v1::JoinResponse response;
  const grpc::Status status = stub->Join(within().get(), join_request("orders", "eu", 2), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  const Details details = details_of(status);
  EXPECT_EQ(details.info.reason(), "SHUTTING_DOWN");
  ASSERT_TRUE(details.retry);
  EXPECT_GT(details.retry->retry_delay().seconds() + details.retry->retry_delay().nanos(), 0);
}

TEST(Errors, StayBelowWhatAClientAccepts) {
  Error error{ErrorCode::kFailedPrecondition, "QUORUM_MISMATCH", "", {}, Duration{1'500}};
  for (int i = 0; i < 1'000; ++i) error.message += "\u00fc";  // percent-encoded: six bytes for each
  for (int i = 0; i < 100; ++i) error.metadata["key" + std::to_string(i)] = std::string(2'000, 'x');
  error.metadata["bytes"] = "\xff\xfe";
  const grpc::Status status = to_status(error);
  EXPECT_LT(status.error_message().size() * 3 + status.error_details().size() * 4 / 3, 8'000U);
  const Details details = details_of(status);
  EXPECT_EQ(details.retry->retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(details.info.metadata().at("bytes"), "\\xff\\xfe");
  EXPECT_TRUE(details.status.message().ends_with("..."));
}

TEST(Errors, AMessageThatIsTooLargeIsRefused) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinRequest huge = join_request("orders", "eu", 2);
  huge.set_host(std::string(api::kRequestBytesMax + 1, 'h'));
  v1::JoinResponse response;
  EXPECT_EQ(stub->Join(within().get(), huge, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &response).ok());
}

TEST(Calls, ACompressedRequestIsRead) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  const auto context = within();
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::JoinResponse joined;
  const grpc::Status status = stub->Join(context.get(), join_request("orders", "eu", 2, 500), &joined);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(joined.target().rounds(0).plan().steps_size(), 500);
}

TEST(Deadlines, AWaitThatIsOverAnswersTheStateAsItIs) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &joined).ok());
  v1::GetTargetRequest get;
  get.set_target("orders");
  get.set_epoch(joined.target().epoch());
  get.set_after_revision(joined.target().revision());
  get.mutable_wait()->set_nanos(50'000'000);
  v1::GetTargetResponse got;
  ASSERT_TRUE(stub->GetTarget(within().get(), get, &got).ok());
  EXPECT_EQ(got.target().revision(), joined.target().revision());
}

TEST(Deadlines, ABlockingQueryAnswersWhenTheTargetMoves) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &joined).ok());
  v1::GetTargetRequest get;
  get.set_target("orders");
  get.set_epoch(joined.target().epoch());
  get.set_after_revision(joined.target().revision());
  get.mutable_wait()->set_seconds(60);
  v1::GetTargetResponse got;
  std::thread waiter([&] { EXPECT_TRUE(stub->GetTarget(within().get(), get, &got).ok()); });
  EXPECT_TRUE(eventually([&] { return world.engine->stats().waiters > 0; }));
  v1::JoinResponse second;
  EXPECT_TRUE(stub->Join(within().get(), join_request("orders", "us", 2), &second).ok());
  waiter.join();
  EXPECT_GT(got.target().revision(), joined.target().revision());
}

TEST(Deadlines, ACallWhoseDeadlinePassesEndsAndWhatItCommittedStays) {
  World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse response;
  ASSERT_TRUE(stub->Join(within().get(), join_request("warm", "eu", 2), &response).ok());
  world.store.hold();
  // On a busy machine a deadline may pass before the call has come as far as the store: then again, with a longer one.
  for (auto timeout = std::chrono::milliseconds(200); !world.store.holds_one_back(); timeout *= 2) {
    ASSERT_LT(timeout, std::chrono::seconds(30)) << "the call never comes to the store";
    EXPECT_EQ(stub->Join(within(timeout).get(), join_request("orders", "eu", 2), &response).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  world.store.release();
  v1::GetTargetRequest get;
  get.set_target("orders");
  v1::GetTargetResponse got;
  ASSERT_TRUE(eventually([&] { return stub->GetTarget(within().get(), get, &got).ok(); }));
  EXPECT_EQ(got.target().rounds(0).members(0).party(), "eu");
}

TEST(Cancelling, LeavesNobodyWaiting) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  const auto barriers = v1::Barrier::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &joined).ok());

  grpc::ClientContext get_context;
  std::thread getter([&] {
    v1::GetTargetRequest get;
    get.set_target("orders");
    get.set_after_revision(1'000);
    get.mutable_wait()->set_seconds(600);
    v1::GetTargetResponse got;
    EXPECT_EQ(stub->GetTarget(&get_context, get, &got).error_code(), grpc::StatusCode::CANCELLED);
  });
  grpc::ClientContext enter_context;
  std::thread enterer([&] {
    v1::EnterRequest enter;
    enter.set_namespace_("n");
    enter.set_quorum(2);
    enter.set_party("p");
    enter.set_incarnation("i");
    enter.mutable_wait()->set_seconds(600);
    v1::BarrierResponse entered;
    EXPECT_EQ(barriers->Enter(&enter_context, enter, &entered).error_code(), grpc::StatusCode::CANCELLED);
  });
  grpc::ClientContext watch_context;
  v1::WatchTargetRequest watch;
  watch.set_target("orders");
  const auto stream = stub->WatchTarget(&watch_context, watch);
  v1::WatchTargetResponse update;
  EXPECT_TRUE(stream->Read(&update));

  EXPECT_TRUE(eventually([&] { return world.engine->stats().waiters == 3 && world.server->stats().parked == 3; }));
  get_context.TryCancel();
  enter_context.TryCancel();
  watch_context.TryCancel();
  EXPECT_TRUE(eventually([&] { return world.engine->stats().waiters == 0 && world.server->stats().parked == 0; }))
      << world.engine->stats().waiters << " wait in the engine, " << world.server->stats().parked << " at the port";
  getter.join();
  enterer.join();
}

TEST(Authorisation, EveryCallNeedsTheToken) {
  GrpcOptions options;
  options.token = "a-token-of-the-test";
  const World world(std::move(options));
  const auto stub = Coordinator::NewStub(world.channel());
  const auto with = [](const std::string& value) {
    auto context = within();
    if (!value.empty()) context->AddMetadata("authorization", value);
    return context;
  };
  for (const char* wrong : {"", "Bearer wrong", "a-token-of-the-test"}) {
    v1::JoinResponse joined;
    const grpc::Status join = stub->Join(with(wrong).get(), join_request("orders", "eu", 2), &joined);
    EXPECT_EQ(join.error_code(), grpc::StatusCode::UNAUTHENTICATED) << wrong;
    EXPECT_EQ(join.error_message().find("a-token"), std::string::npos);
    v1::GetTargetRequest get;
    get.set_target("orders");
    v1::GetTargetResponse got;
    EXPECT_EQ(stub->GetTarget(with(wrong).get(), get, &got).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    v1::ListTargetsResponse listed;
    EXPECT_EQ(stub->ListTargets(with(wrong).get(), {}, &listed).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    v1::ListEventsRequest events;
    events.set_target("orders");
    v1::ListEventsResponse page;
    EXPECT_EQ(stub->ListEvents(with(wrong).get(), events, &page).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    v1::WatchTargetRequest watch;
    watch.set_target("orders");
    const auto watching = with(wrong);
    EXPECT_EQ(stub->WatchTarget(watching.get(), watch)->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    const auto watching_all = with(wrong);
    EXPECT_EQ(stub->WatchTargets(watching_all.get(), {})->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    v1::EnterRequest enter;
    enter.set_namespace_("n");
    enter.set_quorum(1);
    enter.set_party("p");
    enter.set_incarnation("i");
    v1::BarrierResponse entered;
    EXPECT_EQ(v1::Barrier::NewStub(world.channel())->Enter(with(wrong).get(), enter, &entered).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  v1::JoinResponse joined;
  EXPECT_TRUE(stub->Join(with("Bearer a-token-of-the-test").get(), join_request("orders", "eu", 2), &joined).ok());
  const auto twice = with("Bearer wrong");
  twice->AddMetadata("authorization", "Bearer a-token-of-the-test");
  EXPECT_FALSE(stub->Join(twice.get(), join_request("orders", "us", 2), &joined).ok()) << "two values: neither counts";
}

// One unary call with raw bytes: for services whose generated stubs the daemon does not need.
grpc::Status raw_call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                      const google::protobuf::Message& request, google::protobuf::Message* response) {
  grpc::GenericStub stub(channel);
  const std::string bytes = request.SerializeAsString();
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  const auto context = within();
  std::promise<grpc::Status> done;
  stub.UnaryCall(context.get(), method, grpc::StubOptions(), &sent, &received,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  grpc::Status status = done.get_future().get();
  std::vector<grpc::Slice> slices;
  if (status.ok() && received.Dump(&slices).ok()) {
    std::string whole;
    for (const grpc::Slice& part : slices) whole.append(reinterpret_cast<const char*>(part.begin()), part.size());
    EXPECT_TRUE(response->ParseFromString(whole));
  }
  return status;
}

grpc::health::v1::HealthCheckResponse::ServingStatus health_of(const std::shared_ptr<grpc::Channel>& channel,
                                                               const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(raw_call(channel, "/grpc.health.v1.Health/Check", request, &response).ok());
  return response.status();
}

TEST(Health, FollowsTheEngineAndAsksForNoToken) {
  GrpcOptions options;
  options.token = "a-token-of-the-test";
  const World world(std::move(options));
  const auto channel = world.channel();
  for (const char* service : {"", "syzygy.v1.Coordinator", "syzygy.v1.Barrier"}) {
    EXPECT_EQ(health_of(channel, service), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
  world.engine->stop();
  EXPECT_TRUE(eventually([&] {
    return health_of(channel, "") == grpc::health::v1::HealthCheckResponse::NOT_SERVING &&
           health_of(channel, "syzygy.v1.Coordinator") == grpc::health::v1::HealthCheckResponse::NOT_SERVING;
  }));
}

// Reflection's messages by hand: list_services is field 7, file_containing_symbol field 4, both strings.
std::string reflect(const std::shared_ptr<grpc::Channel>& channel, const std::string& request) {
  const grpc::internal::RpcMethod method("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                         grpc::internal::RpcMethod::BIDI_STREAMING);
  const auto context = within();
  const std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(channel.get(), method,
                                                                                            context.get()));
  const grpc::Slice slice(request);
  EXPECT_TRUE(stream->Write(grpc::ByteBuffer(&slice, 1)));
  EXPECT_TRUE(stream->WritesDone());
  std::string answer;
  grpc::ByteBuffer received;
  while (stream->Read(&received)) {
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(received.Dump(&slices).ok());
    for (const grpc::Slice& part : slices) answer.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  EXPECT_TRUE(stream->Finish().ok());
  return answer;
}

TEST(Reflection, ListsServicesAndTheirMethods) {
  const World world;
  const auto channel = world.channel();
  const std::string services = reflect(channel, std::string("\x3a\x01*"));
  for (const char* name :
       {"syzygy.v1.Coordinator", "syzygy.v1.Barrier", "grpc.health.v1.Health", "grpc.reflection.v1alpha"}) {
    EXPECT_NE(services.find(name), std::string::npos) << name;
  }
  const std::string health = reflect(channel, std::string("\x22\x15grpc.health.v1.Health"));
  EXPECT_NE(health.find("HealthCheckRequest"), std::string::npos);
  const std::string coordinator = reflect(channel, std::string("\x22\x15syzygy.v1.Coordinator"));
  EXPECT_NE(coordinator.find("WatchTarget"), std::string::npos);
}

// A certificate for localhost and its key, made for this run.
class Certificate {
 public:
  Certificate()
      : directory_(std::filesystem::temp_directory_path() /
                   ("syzygy-tls-" + std::to_string(getpid()) + "-" + std::to_string(made_++))) {
    std::filesystem::create_directories(directory_);
    const std::string command =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext "
        "subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
        path("key.pem") + " -out " + path("cert.pem") + " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  ~Certificate() { std::filesystem::remove_all(directory_); }
  [[nodiscard]] Tls tls() const { return {read("cert.pem"), read("key.pem")}; }

 private:
  [[nodiscard]] std::string path(const char* name) const { return (directory_ / name).string(); }
  [[nodiscard]] std::string read(const char* name) const {
    std::ostringstream out;
    out << std::ifstream(path(name)).rdbuf();
    return out.str();
  }
  static inline int made_ = 0;
  std::filesystem::path directory_;
};

TEST(TlsPort, ServesThoseWhoTrustItsCertificate) {
  const Tls tls = Certificate().tls();
  GrpcOptions options;
  options.tls = tls;
  const World world(std::move(options));
  grpc::SslCredentialsOptions trusting;
  trusting.pem_root_certs = tls.certificate_chain;
  v1::JoinResponse joined;
  const auto stub = Coordinator::NewStub(world.channel(grpc::SslCredentials(trusting)));
  const grpc::Status status = stub->Join(within().get(), join_request("orders", "eu", 2), &joined);
  ASSERT_TRUE(status.ok()) << status.error_message();

  grpc::SslCredentialsOptions stranger;
  stranger.pem_root_certs = Certificate().tls().certificate_chain;
  EXPECT_FALSE(Coordinator::NewStub(world.channel(grpc::SslCredentials(stranger)))
                   ->Join(within().get(), join_request("orders", "us", 2), &joined)
                   .ok());
  EXPECT_FALSE(
      Coordinator::NewStub(world.channel())->Join(within().get(), join_request("orders", "us", 2), &joined).ok())
      << "plain text at a TLS port";
  EXPECT_TRUE(stub->Join(within().get(), join_request("orders", "ap", 2), &joined).ok()) << "and it still serves";
}

TEST(TlsPort, ABadCertificateIsSeenBeforeThePortOpens) {
  const Tls good = Certificate().tls();
  const Tls other = Certificate().tls();
  const engine::Options options;
  MemoryStore store;
  const auto engine = engine::make_engine(store, options);
  api::Service service(*engine);
  for (const Tls& bad : {Tls{"", good.private_key}, Tls{"no certificate", good.private_key},
                         Tls{good.certificate_chain, "no key"}, Tls{good.certificate_chain, other.private_key}}) {
    GrpcOptions asked;
    asked.address = "127.0.0.1:0";
    asked.tls = bad;
    const auto started = GrpcServer::start(service, asked);
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().reason, "TLS_INVALID");
    EXPECT_EQ(started.error().message.find("PRIVATE KEY-----\n"), std::string::npos);
  }
}

TEST(Start, SaysWhatCannotBeHad) {
  const World world;
  for (const auto& [address, reason] : {std::pair{"7411", "ADDRESS_INVALID"},
                                        {"127.0.0.1:99999", "ADDRESS_INVALID"},
                                        {"::1:7411", "ADDRESS_INVALID"},
                                        {"host with spaces:1", "ADDRESS_INVALID"},
                                        {"no-such-host.invalid:7411", "LISTEN_FAILED"},
                                        {"192.0.2.1:7411", "LISTEN_FAILED"}}) {
    GrpcOptions options;
    options.address = address;
    const auto started = GrpcServer::start(*world.service, options);
    ASSERT_FALSE(started) << address;
    EXPECT_EQ(started.error().reason, reason) << address;
  }
  GrpcOptions taken;
  taken.address = world.address();
  const auto started = GrpcServer::start(*world.service, taken);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "ADDRESS_IN_USE");
  EXPECT_NE(started.error().message.find(world.address()), std::string::npos);
}

}  // namespace
}  // namespace syzygy::transport
