#ifdef WITH_HTTPLIB

#include "connection.hpp"

#include "answers.hpp"

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
constexpr seconds kSendTime(5);               // that a client may let all the sending wait
constexpr seconds kEndTime(1);                // the same, once the program ends
constexpr milliseconds kCloseTime(500);       // until a client has read an answer
constexpr std::size_t kThreads = 32, kMostWaiting = 256;

thread_local bool busy = false;                     // of the thread that accepts connections
thread_local const Connection* answered = nullptr;  // of a thread that answers

/// The library's queue, which it deletes. The threads are older, so that their faults reach the caller.
class Queue : public httplib::TaskQueue {
 public:
  explicit Queue(Workers& workers) : workers_(workers) {}
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Enqueued enqueue(std::function<void()> work) override {
    workers_.enqueue(std::move(work));
    return Enqueued(true);
  }
  void shutdown() override { workers_.shutdown(); }

 private:
  Workers& workers_;
};

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
    if (!ending_) continue;
    if (events == POLLIN) return false;
    end_ = std::min(end_, Clock::now() + kEndTime);
    until = std::min(until, end_);
  }
}

bool Connection::wait_readable() const {
  return at_ < buffer_.size() || wait(POLLIN, begun_ + kRequestTime);
}

bool Connection::wait_writable() const {
  const Clock::time_point begun = Clock::now();
  const bool ready = wait(POLLOUT, begun + kSendTime - blocked_);
  blocked_ += Clock::now() - begun;
  return ready;
}

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

bool Connection::left() const {
  pollfd one{socket_, POLLRDHUP, 0};
  return ::poll(&one, 1, 0) > 0;
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

Workers::Workers() {
  try {
    for (std::size_t i = 0; i < kThreads; ++i) threads_.push_back(start_thread([this] { run(); }));
  } catch (...) {
    shutdown();
    throw;
  }
}

void Workers::enqueue(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  if (waiting_.size() < kMostWaiting) {
    waiting_.push_back(std::move(work));
    lock.unlock();
    changed_.notify_one();
  } else {
    lock.unlock();
    busy = true;
    work();
    busy = false;
  }
}

void Workers::shutdown() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
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
  new_task_queue = [this] { return new Queue(workers_); };
  // The library's own options let two programs have one port.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
}

bool Server::client_left() { return answered != nullptr && answered->left(); }

void Server::expect_many() { ::listen(svr_sock_, static_cast<int>(kMostWaiting)); }

void Server::end() {
  ending_ = true;
  stop();
}

bool Server::process_and_close_socket(socket_t socket) {
  if (busy) {
    const std::string body =
        error_text("serve: busy: " + std::to_string(kThreads) + " requests are answered and " +
                   std::to_string(kMostWaiting) + " wait, expected fewer; try again");
    const std::string text =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
        "Content-Length: " +
        std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
    ::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(socket, SHUT_WR);
    // Unread bytes would reset the connection, and the answer may be lost. There is no time to wait for more.
    std::array<char, 4096> bytes;
    ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    ::close(socket);
    return false;
  }
  process(socket);
  return true;
}

void Server::process(int socket) {
  Connection connection(socket, ending_);
  answered = &connection;
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
  answered = nullptr;
  connection.close();
}

}  // namespace seq2seq

#endif
