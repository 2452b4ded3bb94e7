// What simdjson reads, with its DOM and on demand. The protocol is in README.md.

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace dom = simdjson::dom;

static void text(std::string_view value, std::string &out) {
  out += 's';
  out += std::to_string(value.size());
  out += ':';
  out += value;
}

static void number(double value, std::string &out) {
  if (value == 0) value = 0; // not a negative one
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  char hex[18];
  std::snprintf(hex, sizeof hex, "d%016llx", static_cast<unsigned long long>(bits));
  out += hex;
}

static void canonical(dom::element value, std::string &out) {
  switch (value.type()) {
  case dom::element_type::NULL_VALUE:
    out += 'n';
    break;
  case dom::element_type::BOOL:
    out += bool(value) ? 't' : 'f';
    break;
  case dom::element_type::INT64:
    number(static_cast<double>(int64_t(value)), out);
    break;
  case dom::element_type::UINT64:
    number(static_cast<double>(uint64_t(value)), out);
    break;
  case dom::element_type::DOUBLE:
    number(double(value), out);
    break;
  case dom::element_type::STRING:
    text(std::string_view(value), out);
    break;
  case dom::element_type::ARRAY: {
    dom::array elements = value;
    out += 'a' + std::to_string(elements.size()) + ':';
    for (dom::element element : elements) canonical(element, out);
    break;
  }
  case dom::element_type::OBJECT: {
    std::vector<std::pair<std::string_view, dom::element>> members;
    for (auto member : dom::object(value)) members.emplace_back(member.key, member.value);
    std::stable_sort(members.begin(), members.end(), [](auto &a, auto &b) { return a.first < b.first; });
    out += 'o' + std::to_string(members.size()) + ':';
    for (auto &[name, element] : members) {
      text(name, out);
      canonical(element, out);
    }
    break;
  }
  }
}

static void wanted(simdjson::simdjson_result<dom::element> value, std::string &out) {
  std::string_view found;
  if (value.get_string().get(found)) out += '-';
  else text(found, out);
}

static std::string with_dom(const simdjson::padded_string &message) {
  static dom::parser parser;
  dom::element value;
  std::string out;
  if (auto error = parser.parse(message).get(value)) return std::string("R") + simdjson::error_message(error);
  if (!value.is_object()) return "B";
  out += 'u';
  dom::element part;
  if (value["id"].get(part)) out += '-';
  else canonical(part, out);
  wanted(value["method"], out);
  auto params = value["params"];
  for (const char *name : {"name", "uri", "taskId"}) wanted(params[name], out);
  for (const char *name : {"type", "name", "uri"}) wanted(params["ref"][name], out);
  wanted(params["_meta"]["io.modelcontextprotocol/protocolVersion"], out);
  if (params["arguments"].get(part) || part.is_null()) out += '-';
  else canonical(part, out);
  canonical(value, out);
  return out;
}

// Reads only what it is asked for: method, name, uri and version, in this order.
static std::string on_demand(const simdjson::padded_string &message) {
  static simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::object members;
  if (auto error = parser.iterate(message).get(document)) return std::string("R") + simdjson::error_message(error);
  if (document.get_object().get(members)) return "B";
  std::string out = "t?";
  std::string_view found;
  auto field = [&](auto value) {
    if (value.get_string().get(found)) out += '-';
    else text(found, out);
  };
  field(members.find_field_unordered("method"));
  simdjson::ondemand::object params;
  if (members.find_field_unordered("params").get_object().get(params)) {
    out += "--????" "-??";
    return out;
  }
  field(params.find_field_unordered("name"));
  field(params.find_field_unordered("uri"));
  out += "????";
  simdjson::ondemand::object meta;
  if (params.find_field_unordered("_meta").get_object().get(meta)) out += '-';
  else field(meta.find_field_unordered("io.modelcontextprotocol/protocolVersion"));
  out += "??";
  return out;
}

static bool number(uint32_t &value) {
  unsigned char head[4];
  if (std::fread(head, 1, 4, stdin) != 4) return false;
  value = uint32_t(head[0]) << 24 | uint32_t(head[1]) << 16 | uint32_t(head[2]) << 8 | head[3];
  return true;
}

static void put(uint32_t value) {
  unsigned char head[4] = {static_cast<unsigned char>(value >> 24), static_cast<unsigned char>(value >> 16),
                           static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value)};
  std::fwrite(head, 1, 4, stdout);
}

static void put(const std::string &answer) {
  put(static_cast<uint32_t>(answer.size()));
  std::fwrite(answer.data(), 1, answer.size(), stdout);
}

int main() {
  uint32_t count;
  while (number(count)) {
    std::vector<simdjson::padded_string> messages;
    for (uint32_t left = count; left > 0; left--) {
      uint32_t length;
      if (!number(length)) return 1;
      std::string bytes(length, '\0');
      if (std::fread(bytes.data(), 1, length, stdin) != length) return 1;
      messages.emplace_back(bytes);
    }
    for (const auto &message : messages) {
      std::string dom = with_dom(message), demanded = on_demand(message);
      put(static_cast<uint32_t>(dom.size() + demanded.size() + 8));
      put(dom);
      put(demanded);
    }
    std::fflush(stdout);
  }
}
