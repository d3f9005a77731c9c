// ddl_guard.h - the SQL of the event trigger that refuses DDL with a stale token (target.h, DdlGuard), and its settings
// as they are kept in the trigger's comment.
#pragma once

#include <string>
#include <string_view>

#include "migration/target/target.h"

namespace syzygy::migration {

std::string quoted_identifier(std::string_view name);
std::string quoted_literal(std::string_view text);

// Makes it anew whatever stood; to be run by a superuser, in one transaction. REQUIRES: the tables of `schema` stand.
std::string postgres_ddl_guard(const std::string& schema, const DdlGuard& guard);
std::string postgres_ddl_guard_removal(const std::string& schema);

DdlGuard read_ddl_guard_comment(std::string_view comment, bool enabled);

}  // namespace syzygy::migration
