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
  /// Returns whether the client has closed the connection, or its side of it.
  [[nodiscard]] bool left() const;

 private:
  [[nodiscard]] bool wait(short events, Clock::time_point until) const;

  const int socket_;
  const std::atomic<bool>& ending_;
  const Clock::time_point begun_ = Clock::now();
  mutable Clock::duration blocked_{};  // of all the sending
  mutable Clock::time_point end_ =
      Clock::time_point::max();  // of the sending, once the program ends
  std::string buffer_;
  std::size_t at_ = 0, received_ = 0;
};

/// Threads that take connections in turn. If too many wait, the caller's thread refuses one.
class Workers {
 public:
  /// Starts the threads. IoError if one cannot be started; those before it have ended then.
  Workers();
  ~Workers() { shutdown(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  void enqueue(std::function<void()> work);
  /// Ends the threads after the connections that wait. May be called twice.
  void shutdown();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

class Server : public httplib::Server {
 public:
  /// IoError if a thread cannot be started.
  Server();
  /// Returns whether the client that the calling thread answers has left.
  [[nodiscard]] static bool client_left();
  /// Lets many connections wait until they are accepted, after a port was bound. The library lets five.
  void expect_many();
  /// Refuses further connections, and cuts those whose request is not complete.
  void end();

 private:
  bool process_and_close_socket(socket_t socket) override;
  void process(int socket);

  std::atomic<bool> ending_ = false;
  Workers workers_;  // end before the rest
};

}  // namespace seq2seq
