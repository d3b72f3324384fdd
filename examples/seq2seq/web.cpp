#include "web.hpp"

#ifndef WITH_HTTPLIB

namespace seq2seq {

struct Web::State {};

void Web::check_built() {
  throw xp::ValueError(
      "serve: not built in: this program was built without cpp-httplib, expected with it; install "
      "it (Debian: libcpp-httplib-dev, pkg-config) and build again");
}
Web::Web(const std::string&, int) { check_built(); }
Web::~Web() = default;
std::string Web::url() const { return {}; }
void Web::start(Answers&) {}
bool Web::running() const { return false; }
void Web::stop() {}

}  // namespace seq2seq

#else

#include "connection.hpp"
#include "page.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <set>
#include <system_error>

namespace seq2seq {

namespace {

using httplib::Request;
using httplib::Response;

constexpr std::size_t kMostBody = 16384;

/// Returns the address in digits. ValueError for one that other machines reach.
std::string loopback(const std::string& address) {
  const std::string digits = address == "localhost" ? "127.0.0.1" : address;
  in_addr four{};
  in6_addr six{};
  if (::inet_pton(AF_INET, digits.c_str(), &four) == 1) {
    const std::uint32_t bits = ntohl(four.s_addr);
    // The first and the last are the network and its broadcast.
    if (bits > 0x7f000000 && bits < 0x7fffffff) return digits;
  }
  if (::inet_pton(AF_INET6, digits.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six)) {
    return "::1";
  }
  throw xp::ValueError("--address: not a loopback address: it is '" + address +
                       "', expected one from 127.0.0.1 to 127.255.255.254, or ::1, because "
                       "whoever reaches the page may use it; from elsewhere use 'ssh -L'");
}

void refuse(Response& response, int status, const std::string& why) {
  response.status = status;
  if (status == 503) response.set_header("Retry-After", "1");
  response.set_content(error_text(why), "application/json");
}

/// Returns the answer to a bad request that the library found, with its status.
std::string fault_of(const Request& request, int status) {
  switch (status) {
    case 413:
      return "body: too long: the library took no more, expected at most 16384 bytes; shorten the "
             "sentence";
    case 414:
      return "path: too long: it has more than 8192 bytes, expected /, /model or /translate; "
             "shorten it";
    case 416:
      return "Range: malformed: it is '" + request.get_header_value("Range").substr(0, 40) +
             "', expected none; leave it out";
    case 400:
      return "request: malformed: a line or a length is not one of HTTP, expected HTTP/1.1; "
             "correct it";
    default:
      return "request: refused: its status is " + std::to_string(status) +
             ", expected GET or POST of HTTP/1.1; send that";
  }
}

/// Returns a media type without its parameters, in lower case.
std::string media_type(std::string type) {
  type.resize(std::min(type.find(';'), type.size()));
  type.erase(type.find_last_not_of(" \t") + 1);
  type.erase(0, type.find_first_not_of(" \t"));
  for (char& c : type) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return type;
}

/// Sends the events of an answer while they come. A text is repeated, so that a client that left is noticed.
void stream(const std::shared_ptr<Answer>& answer, Response& response) {
  response.set_chunked_content_provider(
      "text/event-stream",
      [answer, last = Event{"text", R"({"text":""})"}](std::size_t,
                                                       httplib::DataSink& sink) mutable {
        const Event event = answer->next().value_or(last);
        if (event.name == "text") last = event;
        const std::string text = "event: " + event.name + "\ndata: " + event.data + "\n\n";
        if (!sink.write(text.data(), text.size())) return false;
        if (event.name != "text") sink.done();
        return true;
      },
      [answer](bool) { answer->leave(); });
}

}  // namespace

struct Web::State {
  Answers* answers = nullptr;
  std::string address;
  int port = 0;
  std::set<std::string> hosts;  // that a browser may call this server
  Server server;
  std::atomic<bool> ended = false;
  std::exception_ptr fault;  // that ended the thread
  std::thread thread;

  explicit State(const std::string& where) : address(loopback(where)) {}

  /// Says why a method or a path is none of ours; an empty text if it is one.
  [[nodiscard]] static std::pair<int, std::string> misdirected(const Request& request) {
    const bool asks = request.path == "/translate";
    const bool known =
        asks || request.path == "/model" ||
        std::any_of(page::kFiles.begin(), page::kFiles.end(),
                    [&](const page::File& file) { return request.path == file.path; });
    if (!known) {
      return {404, "path: nothing is here: it is '" + request.path.substr(0, 40) +
                       "', expected /, /model or /translate; ask for one of them"};
    }
    const bool gets = request.method == "GET" || request.method == "HEAD";
    if (asks ? request.method == "POST" : gets) return {};
    return {405, "method: not for this path: it is " + request.method + ", expected " +
                     (asks ? "POST" : "GET") + "; use that"};
  }

  /// Refuses what no page of ours sends, before a body is read.
  [[nodiscard]] bool refuses(const Request& request, Response& response) const {
    const auto no = [&](int status, const std::string& why) {
      refuse(response, status, why);
      return true;
    };
    // Another site whose name was made to mean this machine gives its own name.
    const auto head = [&](const char* name) { return request.get_header_value(name); };
    if (request.get_header_value_count("Host") != 1 || !hosts.contains(head("Host"))) {
      return no(403, "Host: another name: it is '" + head("Host").substr(0, 80) + "', expected " +
                         *hosts.begin() + "; open the address it printed");
    }
    if (request.has_header("Origin") && head("Origin") != "http://" + head("Host")) {
      return no(403, "Origin: another site: it is '" + head("Origin").substr(0, 80) +
                         "', expected http://" + head("Host") + "; open the page there");
    }
    if (const auto [status, why] = misdirected(request); status != 0) {
      const char* allowed = request.path == "/translate" ? "POST" : "GET";
      if (status == 405) response.set_header("Allow", allowed);
      return no(status, why);
    }
    if (request.method != "POST") {
      return request.has_header("Content-Length") || request.has_header("Transfer-Encoding")
                 ? no(400, "body: not with this method: GET has one, expected none; leave it out")
                 : false;
    }
    if (request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding")) {
      return no(415, "body: encoded: it is '" +
                         (head("Transfer-Encoding") + head("Content-Encoding")).substr(0, 40) +
                         "', expected plain JSON; send it as it is");
    }
    if (media_type(head("Content-Type")) != "application/json") {
      return no(415, "Content-Type: another type: it is '" + head("Content-Type").substr(0, 80) +
                         "', expected application/json; send that");
    }
    const std::string length = request.get_header_value("Content-Length");
    if (request.get_header_value_count("Content-Length") != 1 || length.empty() ||
        length.find_first_not_of("0123456789") != std::string::npos) {
      return no(411, "Content-Length: missing or no number: it is '" + length.substr(0, 40) +
                         "', expected the bytes of the body; send that");
    }
    if (length.size() > 9 || std::stoul(length) > kMostBody) {
      return no(413, "body: too long: it has " + length.substr(0, 40) +
                         " bytes, expected at most 16384; shorten the sentence");
    }
    return false;
  }

  void translate(const Request& request, Response& response) const {
    try {
      const Question question = answers->question(request.body);
      if (question.stream && request.version != "HTTP/1.1") {
        throw Refusal(
            400, "stream: not with this version: it is HTTP/1.0, expected HTTP/1.1; leave it out");
      }
      const std::shared_ptr<Answer> answer = answers->ask(question);
      if (question.stream) {
        stream(answer, response);
        return;
      }
      std::optional<Event> event;
      while (!(event = answer->next())) {
        if (!Server::client_left()) continue;
        answer->leave();
        throw Refusal(503,
                      "answer: not wanted: its client left, expected one that waits; ask again");
      }
      response.status = event->status;
      if (event->status == 503) response.set_header("Retry-After", "1");
      response.set_content(event->data, "application/json");
    } catch (const Refusal& e) {
      refuse(response, e.status, e.what());
    }
  }

  void add_routes() {
    server.set_default_headers({
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
         "require-trusted-types-for 'script'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
    });
    server.set_pre_routing_handler([this](const Request& request, Response& response) {
      return refuses(request, response) ? Server::HandlerResponse::Handled
                                        : Server::HandlerResponse::Unhandled;
    });
    server.set_error_handler([](const Request& request, Response& response) {
      const int status = response.status;
      if (response.body.empty()) refuse(response, status, fault_of(request, status));
    });
    server.set_exception_handler([](const Request&, Response& response, const auto&) {
      refuse(response, 500,
             "request: failed: the program has a fault, expected an answer; report what was asked");
    });
    for (const page::File& file : page::kFiles) {
      std::string path = file.path;  // the library wants a regular expression
      if (const std::size_t dot = path.find('.'); dot != std::string::npos) path.insert(dot, "\\");
      server.Get(path, [&file](const Request&, Response& response) {
        response.set_content(file.text, file.type);
      });
    }
    server.Get("/model", [this](const Request&, Response& response) {
      response.set_content(answers->about(), "application/json");
    });
    server.Post("/translate", [this](const Request& request, Response& response) {
      translate(request, response);
    });
  }

  void open(int wanted) {
    errno = 0;
    const bool bound = wanted == 0 ? (port = server.bind_to_any_port(address)) > 0
                                   : server.bind_to_port(address, port = wanted);
    if (!bound) {
      const int error = errno;
      const std::string why = error == EADDRINUSE ? "in use" : "cannot be opened";
      throw xp::IoError("--port: " + why + ": " + address + " port " + std::to_string(wanted) +
                            (error == 0 ? "" : ": " + std::generic_category().message(error)) +
                            ", expected a free one; give another --port, or 0 for any",
                        address, error);
    }
    server.expect_many();
    const std::string end = ":" + std::to_string(port);
    const bool six = address == "::1";
    for (const std::string& name :
         {std::string("localhost"), six ? "[::1]" : address, std::string("127.0.0.1")}) {
      hosts.insert(name + end);
      if (port == 80) hosts.insert(name);
    }
  }
};

void Web::check_built() {}

Web::Web(const std::string& address, int port) : state_(std::make_unique<State>(address)) {
  state_->add_routes();
  state_->open(port);
}

Web::~Web() { stop(); }

std::string Web::url() const {
  const std::string& address = state_->address;
  return "http://" + (address == "::1" ? "[::1]" : address) + ":" + std::to_string(state_->port) +
         "/";
}

void Web::start(Answers& answers) {
  state_->answers = &answers;
  state_->thread = start_thread([this] {
    try {
      state_->server.listen_after_bind();
    } catch (...) {
      state_->fault = std::current_exception();
    }
    state_->ended = true;
  });
  while (!state_->server.is_running() && !state_->ended) std::this_thread::yield();
}

bool Web::running() const {
  if (state_->ended && state_->fault) std::rethrow_exception(state_->fault);
  return !state_->ended;
}

void Web::stop() {
  if (!state_->thread.joinable()) return;
  state_->answers->stop();
  state_->server.end();
  state_->thread.join();
}

}  // namespace seq2seq

#endif
