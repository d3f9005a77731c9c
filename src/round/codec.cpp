#include "round/codec.h"

#include "round/fields.h"

namespace syzygy::round {
namespace {

constexpr std::uint64_t kEventVersion = 2;    // 2: of resynchronisation
constexpr std::uint64_t kCommandVersion = 3;  // 2: memories; 3: who began a step

std::unexpected<Error> corrupt(std::string_view what) {
  return failure(
      ErrorCode::kDataLoss, "RECORD_CORRUPT",
      "a stored " + std::string(what) + " is malformed; restore the store from a backup, or remove it if nothing runs");
}

// The bytes of one versioned value.
template <class T>
std::string encode_versioned(std::uint64_t version, const T& value) {
  Writer out;
  out.number(version);
  write_fields(out, value, version);
  return std::move(out).bytes();
}

template <class T>
Result<T> decode_versioned(std::string_view what, std::uint64_t version, std::string_view bytes) {
  Decoder decoder{.in = Reader(bytes)};
  const std::uint64_t found = decoder.in.number();
  if (decoder.in.ok() && found > version) {
    return failure(ErrorCode::kDataLoss, "RECORD_NEWER",
                   "a stored " + std::string(what) + " has version " + std::to_string(found) +
                       ", this program reads up to " + std::to_string(version) +
                       "; run the newer syzygyd that wrote it");
  }
  T value;
  decoder.version = found;
  decoder.get(value);
  if (!decoder.in.ok() || !decoder.in.at_end() || found == 0) return corrupt(what);
  return value;
}

template <std::size_t I = 0>
Result<Command> decode_alternative(std::uint64_t index, Decoder& decoder) {
  if constexpr (I < std::variant_size_v<Command>) {
    if (index != I) return decode_alternative<I + 1>(index, decoder);
    std::variant_alternative_t<I, Command> value;
    decoder.get(value);
    if (!decoder.in.ok() || !decoder.in.at_end()) return corrupt("command");
    return Command{std::move(value)};
  } else {
    return corrupt("command");
  }
}

}  // namespace

std::string encode(const Record& record) { return encode_versioned(kRecordVersion, record); }
Result<Record> decode(std::string_view bytes) { return decode_versioned<Record>("record", kRecordVersion, bytes); }

std::string encode(const Event& event) { return encode_versioned(kEventVersion, event); }
Result<Event> decode_event(std::string_view bytes) { return decode_versioned<Event>("event", kEventVersion, bytes); }

std::string encode(const Command& command) {
  Writer out;
  out.number(kCommandVersion);
  out.number(command.index());
  std::visit([&](const auto& c) { write_fields(out, c); }, command);
  return std::move(out).bytes();
}

Result<Command> decode_command(std::string_view bytes) {
  Decoder decoder{.in = Reader(bytes)};
  if (decoder.in.number() != kCommandVersion) return corrupt("command");
  return decode_alternative(decoder.in.number(), decoder);
}

}  // namespace syzygy::round
