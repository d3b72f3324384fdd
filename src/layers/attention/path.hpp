#pragma once
// The path by which a call computes attention. Every path gives the same answer.

namespace xtape::detail {

/// automatic: the fastest path that serves the call. composed: plain operations. fused: one operation,
/// or composed for a call that it does not serve.
enum class AttentionPath { automatic, composed, fused };

/// Returns the path that calls of this thread take.
inline AttentionPath& attention_path() {
  static thread_local AttentionPath path = AttentionPath::automatic;
  return path;
}

/// Forces a path on this thread while it lives. For tests.
class ForcedAttentionPath {
 public:
  explicit ForcedAttentionPath(AttentionPath path) : before_(attention_path()) {
    attention_path() = path;
  }
  ~ForcedAttentionPath() { attention_path() = before_; }
  ForcedAttentionPath(const ForcedAttentionPath&) = delete;
  ForcedAttentionPath& operator=(const ForcedAttentionPath&) = delete;

 private:
  AttentionPath before_;
};

}  // namespace xtape::detail
