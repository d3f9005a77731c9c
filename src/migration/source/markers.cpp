#include "migration/source/markers.h"

#include <algorithm>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/source/formats.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (true) {
    const auto start = text.find_first_not_of(" \t,");
    if (start == std::string_view::npos) return found;
    text.remove_prefix(start);
    const auto end = std::min(text.find_first_of(" \t,"), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

constexpr std::string_view kPrefix = "syzygy:";

constexpr std::string_view kKnown =
    "known are: -- syzygy:stage pre_deploy|post_deploy, -- syzygy:no-transaction, -- syzygy:depends ID ...|none, "
    "-- syzygy:down, -- syzygy:ignore RULE because REASON, -- syzygy:ignore-file RULE because REASON";

// Reads the markers of one file, from the top; `script_` is the direction that they are in.
class MarkerReader {
 public:
  MarkerReader(Dialect dialect, std::string_view text, std::string_view path, const MarkerOptions& options)
      : dialect_(dialect), text_(text), path_(path), options_(options), line_(options.first_line) {}

  Result<Marked> read() {
    Lexer lexer(dialect_, text_);
    std::size_t counted = 0;
    std::size_t up_end = text_.size();
    std::size_t down_start = 0;
    while (auto token = lexer.next()) {
      if (!token->is_comment()) continue;
      line_ += static_cast<std::size_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted),
                                                   text_.begin() + static_cast<std::ptrdiff_t>(token->offset), '\n'));
      counted = token->offset;
      const std::string_view body = trimmed(token->text.substr(2));
      if (token->kind == LexemeKind::kBlockComment) {
        if (body.starts_with(kPrefix)) {
          return bad("a marker stands in a line comment of its own: -- syzygy:..., not in /* */");
        }
        continue;
      }
      if (options_.sqlx && token->offset == 0 && body.starts_with("no-transaction")) script_->no_transaction = true;
      if (auto foreign = check_foreign(body); !foreign) return std::unexpected(foreign.error());
      if (!body.starts_with(kPrefix)) continue;
      const std::string_view marker = trimmed(body.substr(kPrefix.size()));
      const auto key_end = std::min(marker.find_first_of(" \t"), marker.size());
      const std::string_view key = marker.substr(0, key_end);
      const std::string_view value = trimmed(marker.substr(key_end));
      if (key == "down") {
        const std::size_t start = line_start(token->offset);
        if (!trimmed(text_.substr(start, token->offset - start)).empty())
          return bad("-- syzygy:down needs a line of its own");
        if (!value.empty()) return bad("-- syzygy:down takes no value");
        if (marked_.down) {
          return bad("a second -- syzygy:down (the first is in line " + std::to_string(marked_.down_line) + ")");
        }
        up_end = start;
        down_start = std::min(token->end() + 1, text_.size());
        marked_.down_line = line_;
        marked_.down.emplace();
        script_ = &*marked_.down;
      } else if (auto done = apply(key, value); !done) {
        return std::unexpected(done.error());
      }
    }
    finish(marked_.up, 0, up_end, options_.first_line);
    if (marked_.down) finish(*marked_.down, down_start, text_.size(), marked_.down_line + 1);
    return std::move(marked_);
  }

 private:
  std::unexpected<Error> bad(std::string why, std::string reason = "MIGRATIONS_BAD_MARKER") const {
    return failure(ErrorCode::kInvalidArgument, std::move(reason),
                   std::string(path_) + ":" + std::to_string(line_) + ": " + std::move(why),
                   {{"path", std::string(path_)}, {"line", std::to_string(line_)}});
  }

  Result<void> check_foreign(std::string_view body) const {
    const auto other = [&](std::string_view tool) -> Result<void> {
      if (options_.tool == tool) return {};
      return bad(
          "\"-- " + printable(body) + "\" is a directive of " + std::string(tool) +
              ", and this directory is read in another format, in which it would be left unseen. Give --format " +
              lower_case(tool) + " if the directory is " + std::string(tool) + "'s; else remove the line",
          "MIGRATIONS_FORMAT");
    };
    if (body.starts_with("+goose")) return other("goose");
    if (body.starts_with("migrate:up") || body.starts_with("migrate:down")) return other("dbmate");
    if (body.starts_with("atlas:txmode")) return other("Atlas");
    return {};
  }

  Result<void> apply(std::string_view key, std::string_view value) {
    if (key == "stage") {
      if (script_->stage)
        return bad("a second -- syzygy:stage (the first is in line " + std::to_string(script_->stage_line) + ")");
      if (value == "pre_deploy" || value == "pre-deploy") {
        script_->stage = Stage::kPreDeploy;
      } else if (value == "post_deploy" || value == "post-deploy") {
        script_->stage = Stage::kPostDeploy;
      } else {
        return bad("\"" + printable(value) +
                   "\" is no stage; write -- syzygy:stage pre_deploy or -- syzygy:stage post_deploy");
      }
      script_->stage_line = line_;
      return {};
    }
    if (key == "no-transaction") {
      if (!value.empty()) return bad("-- syzygy:no-transaction takes no value");
      script_->no_transaction = true;
      return {};
    }
    if (key == "depends") {
      if (script_ != &marked_.up)
        return bad("-- syzygy:depends belongs to the whole migration; write it above -- syzygy:down");
      if (marked_.depends) {
        return bad("a second -- syzygy:depends (the first is in line " + std::to_string(marked_.depends_line) +
                   "); name all of them in one");
      }
      const auto named = words(value);
      if (named.empty()) return bad("-- syzygy:depends needs the ids it depends on, or none");
      marked_.depends.emplace();
      marked_.depends_line = line_;
      if (named.size() == 1 && named.front() == "none") return {};
      for (const auto& id : named) {
        if (id == "none") return bad("-- syzygy:depends names ids and none; it is either");
        marked_.depends->emplace_back(std::string(id));
      }
      return {};
    }
    // For the linter alone, which reads them where they stand: a slip in one is a finding, and stops no migration.
    if (key == "ignore" || key == "ignore-file") return {};
    return bad("unknown marker \"syzygy:" + printable(key) + "\"; " + std::string(kKnown));
  }

  [[nodiscard]] std::size_t line_start(std::size_t offset) const {
    const auto before = offset == 0 ? std::string_view::npos : text_.rfind('\n', offset - 1);
    return before == std::string_view::npos ? 0 : before + 1;
  }

  void finish(Script& script, std::size_t start, std::size_t end, std::size_t first_line) const {
    script.text = text_.substr(start, end - start);
    script.content = sha256_hex(script.text);
    script.path = path_;
    script.first_line = first_line;
  }

  Dialect dialect_;
  std::string_view text_;
  std::string_view path_;
  MarkerOptions options_;
  std::size_t line_ = 1;
  Marked marked_;
  Script* script_ = &marked_.up;
};

}  // namespace

Result<Marked> read_markers(Dialect dialect, std::string_view text, std::string_view path,
                            const MarkerOptions& options) {
  return MarkerReader(dialect, text, path, options).read();
}

}  // namespace syzygy
