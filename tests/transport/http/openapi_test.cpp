// Holds docs/openapi.yaml against the router's table and the messages' fields. The file keeps to block style with two
// spaces a level (its first lines say so), which is all that the reader below understands.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "syzygy/v1/syzygy.pb.h"
#include "transport/http/assets.h"
#include "transport/http/router.h"

namespace syzygy::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

// A tree of block mappings and lists; a list's items are its lines.
struct Node {
  std::string name;
  std::string value;
  std::vector<std::string> items;
  std::vector<Node> children;

  [[nodiscard]] const Node* find(const std::string& key) const {
    for (const Node& child : children) {
      if (child.name == key) return &child;
    }
    return nullptr;
  }
  [[nodiscard]] std::string at(const std::string& key) const {
    const Node* node = find(key);
    return node == nullptr ? "" : node->value;
  }
};

std::string unquoted(std::string text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

Node read_yaml(const std::string& text) {
  Node root;
  std::vector<std::pair<int, Node*>> path{{-1, &root}};
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const std::size_t indent = line.find_first_not_of(' ');
    if (indent == std::string::npos || line[indent] == '#') continue;
    EXPECT_EQ(indent % 2, 0U) << line;
    while (path.back().first >= static_cast<int>(indent)) path.pop_back();
    std::string content = line.substr(indent);
    if (content.starts_with("- ")) {
      path.back().second->items.push_back(content.substr(2));
      continue;
    }
    // A key may be quoted, and hold no ": " of its own.
    const std::size_t colon =
        content.find(content.ends_with(":") && content.find(": ") == std::string::npos ? ":" : ": ");
    const std::size_t end =
        content.ends_with(":") && content.find(": ") == std::string::npos ? content.size() - 1 : colon;
    if (end == std::string::npos) {
      ADD_FAILURE() << "not a mapping: " << line;
      continue;
    }
    Node child;
    if (end + 2 <= content.size()) child.value = unquoted(content.substr(end + 2));
    child.name = unquoted(content.substr(0, end));
    path.back().second->children.push_back(std::move(child));
    path.emplace_back(static_cast<int>(indent), &path.back().second->children.back());
  }
  return root;
}

const Node& document() {
  static const Node kDocument = [] {
    std::ifstream file(SYZYGY_SOURCE_DIR "/docs/openapi.yaml");
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), assets::kOpenApi) << "what is served is another file: build again";
    return read_yaml(text.str());
  }();
  return kDocument;
}

const Node& section(const std::string& a, const std::string& b = "") {
  const Node* node = document().find(a);
  if (node != nullptr && !b.empty()) node = node->find(b);
  if (node == nullptr) throw std::runtime_error("no " + a + " " + b);
  return *node;
}

std::string schema_name(const std::string& full) {
  const std::string prefix = "syzygy.v1.";
  return full.starts_with(prefix) ? full.substr(prefix.size()) : full;
}

TEST(OpenApi, PathsAreTheRoutes) {
  std::set<std::string> written;
  for (const Node& operations : section("paths").children) {
    const std::string& path = operations.name;
    for (const Node& operation : operations.children) {
      const std::string& method = operation.name;
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      written.insert(upper + " " + path + " " + operation.at("operationId"));
    }
  }
  std::set<std::string> routed;
  for (const Route& route : routes()) {
    routed.insert(std::string(route.method) + " " + std::string(route.pattern) + " " + std::string(route.id));
  }
  EXPECT_EQ(written, routed);
}

TEST(OpenApi, ParametersAreTheRoutes) {
  std::map<std::string, std::pair<std::string, std::string>> parameters;  // key -> in, name
  for (const Node& node : section("components", "parameters").children) {
    const std::string& key = node.name;
    parameters[key] = {node.at("in"), node.at("name")};
  }
  for (const Route& route : routes()) {
    std::string method(route.method);
    for (char& c : method) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const Node* operation = section("paths").find(std::string(route.pattern))->find(method);
    ASSERT_NE(operation, nullptr) << route.id;
    std::set<std::string> query, path;
    if (const Node* listed = operation->find("parameters")) {
      for (const std::string& item : listed->items) {
        const std::string key =
            unquoted(item.substr(item.find(": ") + 2)).substr(std::string("#/components/parameters/").size());
        ASSERT_TRUE(parameters.contains(key)) << key;
        const auto& [where, name] = parameters[key];
        if (where == "query") query.insert(name);
        if (where == "path") path.insert(name);
      }
    }
    std::set<std::string> known;
    for (const auto q : route.query) {
      if (!q.empty()) known.insert(std::string(q));
    }
    EXPECT_EQ(query, known) << route.id;
    const std::size_t brace = route.pattern.find('{');
    if (brace == std::string_view::npos) {
      EXPECT_TRUE(path.empty()) << route.id;
    } else {
      const std::string name(route.pattern.substr(brace + 1, route.pattern.find('}') - brace - 1));
      EXPECT_EQ(path, std::set{name}) << route.id;
    }
    EXPECT_EQ(operation->find("security") != nullptr, route.open) << route.id << ": open without a token?";
  }
}

// The messages that an operation takes and gives, by the proto's own services.
TEST(OpenApi, BodiesAreTheMessages) {
  const auto* file = v1::JoinRequest::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const auto* method = file->service(s)->method(m);
      const Node* operation = nullptr;
      bool post = false;
      for (const Route& route : routes()) {
        if (route.id != method->name()) continue;
        post = route.method == "POST";
        operation = section("paths").find(std::string(route.pattern))->find(post ? "post" : "get");
      }
      ASSERT_NE(operation, nullptr) << "no route for the call " << method->name();
      const auto schema_of = [](const Node* content, const std::string& type) {
        const Node* node = content == nullptr ? nullptr : content->find("content");
        node = node == nullptr ? nullptr : node->find(type);
        node = node == nullptr ? nullptr : node->find("schema");
        return node == nullptr ? std::string() : node->at("$ref");
      };
      const std::string prefix = "#/components/schemas/";
      if (post) {
        EXPECT_EQ(schema_of(operation->find("requestBody"), "application/json"),
                  prefix + schema_name(method->input_type()->full_name()));
      }
      EXPECT_EQ(schema_of(operation->find("responses")->find("200"),
                          method->server_streaming() ? "text/event-stream" : "application/json"),
                prefix + schema_name(method->output_type()->full_name()))
          << method->name();
    }
  }
}

void expect_enum(const EnumDescriptor* type) {
  const Node* schema = section("components", "schemas").find(schema_name(type->full_name()));
  ASSERT_NE(schema, nullptr) << type->full_name();
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
  EXPECT_EQ(schema->find("enum")->items, names) << type->full_name();
}

// What a field of this type looks like in JSON: a type, or a reference.
std::string shape_of(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_INT64:
      return "string";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "boolean";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_INT32:
      return "integer";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "#/components/schemas/" + schema_name(field->enum_type()->full_name());
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field->message_type()->full_name() == "google.protobuf.Timestamp") return "string";
      if (field->message_type()->full_name() == "google.protobuf.Duration") return "#/components/schemas/Duration";
      return "#/components/schemas/" + schema_name(field->message_type()->full_name());
    default:
      return "?";
  }
}

std::string shape_of(const Node& node) {
  if (const std::string ref = node.at("$ref"); !ref.empty()) return ref;
  if (const Node* all = node.find("allOf"); all != nullptr && all->items.size() == 1) {
    return unquoted(all->items[0].substr(std::string("$ref: ").size()));
  }
  return node.at("type");
}

void expect_message(const Descriptor* type) {
  const Node* schema = section("components", "schemas").find(schema_name(type->full_name()));
  ASSERT_NE(schema, nullptr) << type->full_name();
  std::map<std::string, std::string> written, known;
  for (const Node& node : schema->find("properties")->children) {
    const bool list = node.at("type") == "array";
    written[node.name] = list ? "[] " + shape_of(*node.find("items")) : shape_of(node);
  }
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* field = type->field(i);
    known[field->json_name()] = (field->is_repeated() ? "[] " : "") + shape_of(field);
  }
  EXPECT_EQ(written, known) << type->full_name();
  for (int i = 0; i < type->nested_type_count(); ++i) expect_message(type->nested_type(i));
  for (int i = 0; i < type->enum_type_count(); ++i) expect_enum(type->enum_type(i));
}

TEST(OpenApi, SchemasAreTheMessages) {
  const auto* file = v1::JoinRequest::descriptor()->file();
  // Requests of a GET are its path and its query.
  const std::set<std::string> in_query{"GetTargetRequest", "ListTargetsRequest", "WatchTargetRequest",
                                       "WatchTargetsRequest", "ListEventsRequest"};
  std::set<std::string> known{"Problem", "Duration"};
  const std::function<void(const Descriptor*)> add = [&](const Descriptor* type) {
    known.insert(schema_name(type->full_name()));
    for (int i = 0; i < type->nested_type_count(); ++i) add(type->nested_type(i));
    for (int i = 0; i < type->enum_type_count(); ++i) known.insert(schema_name(type->enum_type(i)->full_name()));
  };
  for (int i = 0; i < file->message_type_count(); ++i) {
    if (in_query.contains(file->message_type(i)->name())) continue;
    expect_message(file->message_type(i));
    add(file->message_type(i));
  }
  for (int i = 0; i < file->enum_type_count(); ++i) {
    expect_enum(file->enum_type(i));
    known.insert(file->enum_type(i)->name());
  }
  std::set<std::string> written;
  for (const Node& node : section("components", "schemas").children) written.insert(node.name);
  EXPECT_EQ(written, known);
}

}  // namespace
}  // namespace syzygy::http
