#include "web.hpp"

#ifndef WITH_HTTPLIB

namespace seq2seq {

struct Web::State {};

void Web::check_built() {
  throw xp::ValueError(
      "serve: not built in: this program was built without cpp-httplib, expected with it; install "
      "it (Debian: libcpp-httplib-dev, pkg-config) and build again");
}
Web::Web(Answers&, const std::string&, int) { check_built(); }
Web::~Web() = default;
std::string Web::url() const { return {}; }
void Web::start() {}
bool Web::running() const { return false; }
void Web::stop() {}

}  // namespace seq2seq

#else

#include "connection.hpp"
#include "page.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>
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
  if (::inet_pton(AF_INET, digits.c_str(), &four) == 1 && ntohl(four.s_addr) >> 24U == 127) {
    return digits;
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

/// Sends the events of an answer while they come.
void stream(const std::shared_ptr<Answer>& answer, Response& response) {
  response.set_chunked_content_provider(
      "text/event-stream",
      [answer](std::size_t, httplib::DataSink& sink) {
        const Event event = answer->next();
        const std::string text = "event: " + event.name + "\ndata: " + event.data + "\n\n";
        if (!sink.write(text.data(), text.size())) return false;
        if (event.name != "text") sink.done();
        return true;
      },
      [answer](bool) { answer->leave(); });
}

}  // namespace

struct Web::State {
  Answers& answers;
  std::string address;
  int port = 0;
  std::set<std::string> hosts;  // that a browser may call this server
  Server server;
  std::thread thread;

  State(Answers& to, const std::string& where) : answers(to), address(loopback(where)) {}

  /// Refuses what no page of ours sends, before a body is read.
  [[nodiscard]] bool refuses(const Request& request, Response& response) const {
    const auto no = [&](int status, const char* why) {
      refuse(response, status, why);
      return true;
    };
    // Another site whose name was made to mean this machine gives its own name.
    if (request.get_header_value_count("Host") != 1 ||
        !hosts.contains(request.get_header_value("Host"))) {
      return no(403,
                "Host: another name, expected that of this server; open the address it printed");
    }
    if (request.has_header("Origin") &&
        (!request.get_header_value("Origin").starts_with("http://") ||
         !hosts.contains(request.get_header_value("Origin").substr(7)))) {
      return no(403, "Origin: another site, expected the page of this server; open its address");
    }
    if (request.method == "GET" || request.method == "HEAD") {
      return request.has_header("Content-Length") || request.has_header("Transfer-Encoding")
                 ? no(400, "body: not expected with GET; leave it out")
                 : false;
    }
    if (request.method != "POST") return no(405, "method: expected GET or POST; use one of them");
    if (request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding")) {
      return no(415, "body: encoded, expected plain JSON; send it as it is");
    }
    const std::string type = request.get_header_value("Content-Type");
    if (type.substr(0, type.find(';')) != "application/json") {
      return no(415, "Content-Type: another type, expected application/json; send that");
    }
    const std::string length = request.get_header_value("Content-Length");
    if (request.get_header_value_count("Content-Length") != 1 || length.empty() ||
        length.find_first_not_of("0123456789") != std::string::npos) {
      return no(411, "Content-Length: missing, expected the bytes of the body; add it");
    }
    if (length.size() > 9 || std::stoul(length) > kMostBody) {
      return no(413, "body: too long, expected at most 16384 bytes; shorten the sentence");
    }
    return false;
  }

  void translate(const Request& request, Response& response) {
    try {
      const Question question = answers.question(request.body);
      if (question.stream && request.version != "HTTP/1.1") {
        throw Refusal(400, "stream: not with HTTP/1.0, expected HTTP/1.1; leave it out");
      }
      const std::shared_ptr<Answer> answer = answers.ask(question);
      if (question.stream) {
        stream(answer, response);
        return;
      }
      const Event event = answer->next();
      response.status = event.status;
      if (event.status == 503) response.set_header("Retry-After", "1");
      response.set_content(event.data, "application/json");
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
    server.set_error_handler([](const Request&, Response& response) {
      if (response.body.empty()) {
        refuse(response, response.status,
               response.status == 404 ? "path: there is nothing here, expected / or /translate"
                                      : "request: malformed, expected HTTP/1.1");
      }
    });
    server.set_exception_handler([](const Request&, Response& response, const auto&) {
      refuse(response, 500, "the request could not be answered");
    });
    for (const page::File& file : page::kFiles) {
      server.Get(file.path, [&file](const Request&, Response& response) {
        response.set_content(file.text, file.type);
      });
    }
    server.Get("/model", [this](const Request&, Response& response) {
      response.set_content(answers.about(), "application/json");
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

Web::Web(Answers& answers, const std::string& address, int port)
    : state_(std::make_unique<State>(answers, address)) {
  state_->add_routes();
  state_->open(port);
}

Web::~Web() { stop(); }

std::string Web::url() const {
  const std::string& address = state_->address;
  return "http://" + (address == "::1" ? "[::1]" : address) + ":" + std::to_string(state_->port) +
         "/";
}

void Web::start() {
  state_->thread = std::thread([this] { state_->server.listen_after_bind(); });
  while (!state_->server.is_running()) std::this_thread::yield();
}

bool Web::running() const { return state_->server.is_running(); }

void Web::stop() {
  if (!state_->thread.joinable()) return;
  state_->answers.stop();
  state_->server.end();
  state_->thread.join();
}

}  // namespace seq2seq

#endif
