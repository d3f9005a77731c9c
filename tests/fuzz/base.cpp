// Names, and the bytes that a store keeps.
#include <array>

#include "base/encoding.h"
#include "base/name.h"
#include "round/barrier.h"
#include "round/codec.h"
#include "round/command.h"
#include "round/effect.h"
#include "round/step.h"
#include "target.h"

namespace syzygy::fuzz {
namespace {

void refused(const Error& error) {
  require_well_said(error);
  require(error.code == ErrorCode::kDataLoss, "bytes of a store that cannot be read are lost data", error.message);
}

// What the codec accepts is exactly what it would write, save that it writes what an older program wrote in its own
// version.
template <class T>
void there_and_back(std::string_view bytes, const Result<T>& decoded) {
  if (decoded) {
    const std::string again = encode(*decoded);
    require(again == bytes || bytes.front() < again.front(), "what was decoded is encoded to the same bytes", bytes);
  } else {
    refused(decoded.error());
  }
}

}  // namespace

SYZYGY_FUZZ_TARGET(name) {
  const auto checked = check_name("party", input);
  require_shown(printable(input) + ".", "what is printable");
  if (!checked) {
    require_well_said(checked.error());
    require(!input.empty() || checked.error().message.contains("empty"), "an empty name is called so");
    return;
  }
  require_shown(input, "a name");
  require(is_utf8(input) && input.size() <= kNameBytesMax, "a name is short UTF-8", input);
}

SYZYGY_FUZZ_TARGET(encoding) {
  // A Reader, told what to read by the first half; what it read is written again.
  const std::string_view orders = input.substr(0, input.size() / 2);
  const std::string_view bytes = input.substr(orders.size());
  Reader in(bytes);
  Writer out;
  for (const char order : orders) {
    switch (static_cast<unsigned char>(order) % 5) {
      case 0:
        out.number(in.number());
        break;
      case 1:
        out.signed_number(in.signed_number());
        break;
      case 2:
        out.boolean(in.boolean());
        break;
      case 3:
        out.string(in.string());
        break;
      default:
        out.number(in.count(1'000));
        break;
    }
    if (!in.ok()) return;
  }
  require(bytes.starts_with(out.bytes()), "what was read is written to the same bytes", bytes);
  require(in.at_end() == (out.bytes().size() == bytes.size()), "a reader knows its end", bytes);
}

SYZYGY_FUZZ_TARGET(record) {
  Choices choices(input);
  const auto kind = choices.byte() % 5;
  const std::string_view bytes = choices.rest();
  if (kind == 0) {
    const auto record = round::decode(bytes);
    there_and_back(bytes, record);
    if (!record) return;
    // Whatever a store holds: a decision, or the name of the invariant that it breaks.
    const std::array<round::Command, 1> tick = {round::Tick{}};
    const auto decision = round::step(*record, tick, record->now, round::Settings{});
    require(!decision.broken.empty() || round::decode(round::encode(decision.record)) == decision.record,
            "a decision's record is read as it was written", bytes);
  } else if (kind == 1) {
    there_and_back(bytes, round::decode_event(bytes));
  } else if (kind == 2) {
    there_and_back(bytes, round::decode_command(bytes));
  } else if (kind == 3) {
    const auto record = barrier::decode(bytes);
    there_and_back(bytes, record);
    if (!record) return;
    const std::array<barrier::Command, 1> tick = {barrier::Tick{}};
    const auto decision = barrier::step(*record, tick, record->now, barrier::Settings{});
    require(!decision.broken.empty() || barrier::decode(barrier::encode(decision.record)) == decision.record,
            "a decision's record is read as it was written", bytes);
  } else {
    there_and_back(bytes, barrier::decode_command(bytes));
  }
}

}  // namespace syzygy::fuzz
