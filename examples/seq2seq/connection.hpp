#pragma once
// A server of cpp-httplib with limits of its own: one request per connection, read and sent within a time, of a limited
// size, by a limited number of threads.

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace seq2seq {

using Clock = std::chrono::steady_clock;

/// A connection. Its functions are those of the streams of versions 0.11 to 0.20; each version overrides some.
class Connection : public httplib::Stream {
 public:
  Connection(int socket, const std::atomic<bool>& ending) : socket_(socket), ending_(ending) {}

  // NOLINTBEGIN: a function may be virtual or not.
  bool is_readable() const { return true; }
  bool is_writable() const { return wait_writable(); }
  bool wait_readable() const;
  bool wait_writable() const;
  time_t duration() const { return 0; }
  ssize_t read(char* to, size_t size);
  ssize_t write(const char* from, size_t size);
  void get_remote_ip_and_port(std::string& ip, int& port) const;
  void get_local_ip_and_port(std::string& ip, int& port) const { get_remote_ip_and_port(ip, port); }
  int socket() const { return socket_; }
  // NOLINTEND
  using httplib::Stream::write;

  /// Ends the sending, and waits a little until the client has read, too.
  void close();

 private:
  [[nodiscard]] bool wait(short events, Clock::time_point until) const;

  const int socket_;
  const std::atomic<bool>& ending_;
  const Clock::time_point begun_ = Clock::now();
  std::string buffer_;
  std::size_t at_ = 0, received_ = 0;
};

/// Threads that take connections in turn. If too many wait, `busy` is true while the caller's thread takes one.
class Workers : public httplib::TaskQueue {
 public:
  explicit Workers(bool& full);
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Enqueued enqueue(std::function<void()> work) override;
  void shutdown() override;

 private:
  void run();

  bool& busy_;  // of the caller's thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

class Server : public httplib::Server {
 public:
  Server();
  /// Lets many connections wait until they are accepted, after a port was bound. The library lets five.
  void expect_many();
  /// Refuses further connections, and cuts those whose request is not complete.
  void end();

 private:
  bool process_and_close_socket(socket_t socket) override;
  void process(int socket);

  std::atomic<bool> ending_ = false;
};

}  // namespace seq2seq
