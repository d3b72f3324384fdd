// A client of `seq2seq serve`, for seq2seq_serve.sh:
//   serve_client translate PORT BEAM < sentences    translations, one after the other
//   serve_client together PORT BEAM < sentences     the same, all at once
//   serve_client stream PORT BEAM < sentences       the last text of each stream before its result, a tab, the result
//   serve_client malformed PORT COUNT               requests with faults; what came back, counted
//   serve_client raw PORT < request                 one answer as it came
//   serve_client full PORT                          one answer while 300 clients are silent
//   serve_client leave PORT COUNT < sentence        nothing: the clients ask, and leave after a moment

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
int port = 0;

/// Returns a connection.
int connected() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval most{60, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    ::close(socket);
    throw std::runtime_error("no connection");
  }
  return socket;
}

/// Sends bytes and returns what came back until the end of the connection. A half may be closed after the bytes.
std::string exchange(const std::string& bytes, bool half = false) {
  const int socket = connected();
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t sent = ::send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) break;  // the server has heard enough
    at += static_cast<std::size_t>(sent);
  }
  if (half) ::shutdown(socket, SHUT_WR);
  std::string all;
  std::array<char, 65536> some;
  ssize_t got = 0;
  while ((got = ::recv(socket, some.data(), some.size(), 0)) > 0) {
    all.append(some.data(), static_cast<std::size_t>(got));
  }
  const int error = errno;
  ::close(socket);
  if (got < 0 && error == EAGAIN) throw std::runtime_error("no answer within a minute");
  return all;
}

std::string host() { return "Host: 127.0.0.1:" + std::to_string(port) + "\r\n"; }

std::string request(const std::string& body) {
  return "POST /translate HTTP/1.1\r\n" + host() + "Content-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string body_of(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : answer.substr(end + 4);
}

std::string translation(const std::string& sentence, int beam) {
  const std::string answer = exchange(request(
      Json{{"source", sentence}, {"beam", beam}, {"n_best", beam}, {"attention", true}}.dump()));
  const Json json = Json::parse(body_of(answer));
  if (!json.contains("translations")) throw std::runtime_error(answer);
  const auto& texts = json["translations"];
  if (texts.size() != static_cast<std::size_t>(beam)) throw std::runtime_error("not all n best");
  // Each row of attention is a distribution over the source.
  for (const auto& text : texts) {
    if (text["tokens"].empty()) continue;
    for (const auto& layer : text.at("attention")) {
      for (const auto& head : layer) {
        if (head.size() != text["tokens"].size()) throw std::runtime_error("rows of attention");
        for (const auto& row : head) {
          double sum = 0;
          for (const double value : row) sum += value;
          const double slack = 5e-4 * static_cast<double>(row.size()) + 1e-6;  // three digits each
          if (row.size() != json["source_tokens"].size() || sum < 1 - slack || sum > 1 + slack) {
            throw std::runtime_error("a row of attention: " + row.dump());
          }
        }
      }
    }
  }
  return texts[0]["text"];
}

/// Returns the last text before the result, and the result's.
std::string streamed(const std::string& sentence, int beam) {
  const std::string answer =
      exchange(request(Json{{"source", sentence}, {"beam", beam}, {"stream", true}}.dump()));
  std::string text, result;
  for (std::size_t at = 0; (at = answer.find("event: ", at)) != std::string::npos; ++at) {
    const std::size_t data = answer.find("\ndata: ", at);
    const Json json = Json::parse(answer.substr(data + 7, answer.find("\n\n", data) - data - 7));
    if (answer.compare(at, 12, "event: text\n") == 0) text = json["text"];
    if (answer.compare(at, 14, "event: result\n") == 0) result = json["translations"][0]["text"];
  }
  if (!answer.ends_with("0\r\n\r\n")) throw std::runtime_error("a stream without an end");
  return text + "\t" + result;
}

/// Returns a request with a fault, or with several.
std::string malformed(std::mt19937& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const auto bytes = [&](std::size_t n) {
    std::string out(n, ' ');
    for (char& c : out) c = static_cast<char>(below(256));
    return out;
  };
  const std::string good = request(R"({"source": "may 3, 1999", "beam": 2, "n_best": 2})");
  std::string broken = good;
  switch (below(14)) {
    case 0: return bytes(below(3000));
    case 1: return good.substr(0, below(good.size()));
    case 2:
      for (std::size_t i = 0; i < 1 + below(8); ++i) broken[below(broken.size())] = bytes(1)[0];
      return broken;
    case 3: return broken.insert(below(broken.size()), bytes(1 + below(100)));
    case 4: return "GET /" + std::string(below(20000), 'a') + " HTTP/1.1\r\n" + host() + "\r\n";
    case 5: {
      broken = "GET / HTTP/1.1\r\n" + host();
      for (std::size_t i = below(3000); i > 0; --i) broken += "X-" + std::to_string(i) + ": y\r\n";
      return broken + "\r\n";
    }
    case 6: return "GET / HTTP/1.1\r\n" + host() + "X: " + std::string(below(200000), 'b');
    case 7: return request(std::string(below(100), '[') + std::string(below(20000), '{'));
    case 8: return request(R"({"source": ")" + bytes(below(300)) + "\"}");
    case 9: return request(R"({"source": "a", "beam": )" + std::to_string(random()) + "}");
    case 10: return "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    case 11:
      return "GET / HTTP/1.1\r\n" + host() + "Range: bytes=0-" + std::string(below(40), '9') +
             ",0-,-5\r\n\r\n";
    case 12:
      return "POST /translate HTTP/1.1\r\n" + host() + "Content-Type: application/json\r\n" +
             "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + bytes(below(1000));
    default:
      return "POST /translate HTTP/1.1\r\n" + host() + "Content-Type: application/json\r\n" +
             "Content-Length: " + std::to_string(random()) + std::to_string(random()) + "\r\n\r\n" +
             bytes(below(5000));
  }
}

void send_malformed(std::size_t count) {
  std::map<std::string, std::size_t> found;
  std::mt19937 random(23);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string answer = exchange(malformed(random), true);  // its length may be wrong
    const bool http = answer.starts_with("HTTP/1.1 ");
    ++found[http ? answer.substr(9, 3) : (answer.empty() ? "none" : "else")];
    // An error says what is wrong, as JSON.
    if (http && answer[9] != '2' && answer.substr(9, 3) != "100") {
      if (!Json::parse(body_of(answer)).contains("error")) throw std::runtime_error(answer);
    }
  }
  for (const auto& [status, times] : found) std::cout << status << ": " << times << "\n";
  if (found["else"] != 0 || found["500"] != 0) throw std::runtime_error("a fault of the server");
}

int run(const std::string& command, int number) {
  if (command == "malformed") {
    send_malformed(static_cast<std::size_t>(number));
    return 0;
  }
  if (command == "raw") {
    std::cout << exchange(std::string(std::istreambuf_iterator<char>(std::cin), {}));
    return 0;
  }
  if (command == "full") {
    std::vector<int> silent(300);
    for (int& one : silent) one = connected();
    std::cout << exchange("");
    for (const int one : silent) ::close(one);
    return 0;
  }
  std::vector<std::string> lines, texts;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  if (command == "leave") {
    const std::string bytes = request(Json{{"source", lines.at(0)}, {"beam", 16}}.dump());
    std::vector<int> clients(static_cast<std::size_t>(number));
    for (int& one : clients) ::send(one = connected(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    for (const int one : clients) ::close(one);
    return 0;
  }
  texts.resize(lines.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto ask = [&, i] {
      try {
        texts[i] = command == "stream" ? streamed(lines[i], number) : translation(lines[i], number);
      } catch (const std::exception& e) {
        texts[i] = std::string("FAILED: ") + e.what();
      }
    };
    if (command == "together") {
      threads.emplace_back(ask);
    } else {
      ask();
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) std::cout << text << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  port = std::atoi(argv[2]);
  try {
    return run(argv[1], argc > 3 ? std::atoi(argv[3]) : 1);
  } catch (const std::exception& e) {
    std::cerr << "serve_client: " << e.what() << "\n";
    return 1;
  }
}
