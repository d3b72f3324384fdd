#pragma once
// Which of the ways to compute attention a call takes. All give the same answer.

namespace xtape::detail {

/// automatic: the fastest that serves the call. composed: Dense, Softmax and Dropout, one after the
/// other. fused: one operation; a call it does not serve is composed.
enum class AttentionPath { automatic, composed, fused };

/// What calls of this thread take.
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
