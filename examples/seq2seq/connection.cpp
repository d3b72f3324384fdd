#ifdef WITH_HTTPLIB

#include "connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <exception>

namespace seq2seq {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMostReceived = 65536;  // bytes of a request
constexpr seconds kRequestTime(10);           // until a request has arrived
constexpr seconds kSendTime(5);               // until a client takes more
constexpr milliseconds kCloseTime(500);       // until a client has read an answer
constexpr std::size_t kThreads = 32, kMostWaiting = 256;

thread_local bool busy = false;  // of the thread that accepts connections

}  // namespace

bool Connection::wait(short events, Clock::time_point until) const {
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
    if (left.count() <= 0) return false;
    pollfd one{socket_, events, 0};
    constexpr milliseconds kSlice(100);  // until the end of the program is noticed
    const int ready = ::poll(&one, 1, static_cast<int>(std::min(left, kSlice).count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (events == POLLIN && ending_) return false;
  }
}

bool Connection::wait_readable() const {
  return at_ < buffer_.size() || wait(POLLIN, begun_ + kRequestTime);
}

bool Connection::wait_writable() const { return wait(POLLOUT, Clock::now() + kSendTime); }

ssize_t Connection::read(char* to, size_t size) {
  if (at_ == buffer_.size()) {
    if (received_ >= kMostReceived || !wait_readable()) return -1;
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) return got;
    buffer_.assign(bytes.data(), static_cast<std::size_t>(got));
    at_ = 0;
    received_ += buffer_.size();
  }
  const std::size_t count = std::min(size, buffer_.size() - at_);
  buffer_.copy(to, count, at_);
  at_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t Connection::write(const char* from, size_t size) {
  if (!wait_writable()) return -1;
  return ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = "loopback";
  port = 0;
}

void Connection::close() {
  ::shutdown(socket_, SHUT_WR);
  // A connection with bytes that nobody has read is reset, and the answer may be lost.
  std::array<char, 4096> bytes;
  const auto until = Clock::now() + kCloseTime;
  for (std::size_t drained = 0; drained < kMostReceived && wait(POLLIN, until);) {
    const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) break;
    drained += static_cast<std::size_t>(got);
  }
  ::close(socket_);
}

Workers::Workers(bool& full) : busy_(full) {
  for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { run(); });
}

Workers::Enqueued Workers::enqueue(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  if (waiting_.size() < kMostWaiting) {
    waiting_.push_back(std::move(work));
    lock.unlock();
    changed_.notify_one();
  } else {
    lock.unlock();
    busy_ = true;
    work();
    busy_ = false;
  }
  return Enqueued(true);
}

void Workers::shutdown() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::run() {
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

Server::Server() {
  new_task_queue = [] { return new Workers(busy); };
  // The library's own options let two programs have one port.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
}

void Server::expect_many() { ::listen(svr_sock_, static_cast<int>(kMostWaiting)); }

void Server::end() {
  ending_ = true;
  stop();
}

bool Server::process_and_close_socket(socket_t socket) {
  if (busy) {
    constexpr std::string_view kBusy =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: "
        "close\r\n\r\n";
    ::send(socket, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::close(socket);
    return false;
  }
  process(socket);
  return true;
}

void Server::process(int socket) {
  Connection connection(socket, ending_);
  // No parts of files, and no compression: both cost more than they save on one machine.
  const auto simplify = [](httplib::Request& request) {
    request.ranges.clear();
    request.headers.erase("Accept-Encoding");
  };
  bool closed = false;
  const auto call = [&](auto& stream) {
    if constexpr (requires { this->process_request(stream, true, closed, simplify); }) {
      this->process_request(stream, true, closed, simplify);
    } else {
      this->process_request(stream, "loopback", 0, "loopback", 0, true, closed, simplify);
    }
  };
  try {
    call(connection);
  } catch (const std::exception&) {
    // A request that the library cannot read: the connection ends without an answer.
  }
  connection.close();
}

}  // namespace seq2seq

#endif
