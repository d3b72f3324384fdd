#include "answers.hpp"

#include "checks.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <new>
#include <system_error>

#include <nlohmann/json.hpp>

namespace seq2seq {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostWeights = 1'000'000;  // of attention in an answer
constexpr const char* kExample = ", expected an object as {\"source\": \"a sentence\"}; send that";
constexpr const char* kEnds =
    "serve: ended: the program was told to stop, expected a running one; start it again";

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Returns the object of a body. Refusal for anything else.
Json object_of(const std::string& body) {
  constexpr int kDepth = 8;
  Json object;
  try {
    object = Json::parse(body, [](int depth, Json::parse_event_t, const Json&) {
      if (depth <= kDepth) return true;
      throw Refusal(400, "body: nested too deeply: it has more than " + std::to_string(kDepth) +
                             " levels" + kExample);
    });
  } catch (const Json::parse_error& e) {
    throw Refusal(
        400, "body: malformed JSON: the fault is at byte " + std::to_string(e.byte) + kExample);
  } catch (const Json::exception&) {
    throw Refusal(400, std::string("body: malformed JSON: a number is too large") + kExample);
  }
  if (!object.is_object()) {
    throw Refusal(
        400, std::string("body: not an object: it is of type ") + object.type_name() + kExample);
  }
  for (const auto& item : object.items()) {
    const std::string& key = item.key();
    if (key == "source" || key == "beam" || key == "n_best" || key == "attention" ||
        key == "stream") {
      continue;
    }
    throw Refusal(400, "body: unknown key: it is '" + key.substr(0, 40) +
                           "', expected source, beam, n_best, attention or stream; leave it out");
  }
  return object;
}

std::size_t whole_of(const Json& object, const char* key, std::size_t fallback, std::int64_t most) {
  const auto found = object.find(key);
  if (found == object.end()) return fallback;
  // Larger numbers than std::int64_t are unsigned.
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() || found->get<std::uint64_t>() <= 1000000);
  const std::int64_t value = fits ? found->get<std::int64_t>() : 0;
  if (value >= 1 && value <= most) return static_cast<std::size_t>(value);
  throw Refusal(400, std::string(key) + ": out of range: it is " + text_of(*found).substr(0, 40) +
                         ", expected a whole number from 1 to " + std::to_string(most) +
                         "; change it");
}

bool flag_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return false;
  if (found->is_boolean()) return found->get<bool>();
  throw Refusal(400, std::string(key) + ": another type: it is " + text_of(*found).substr(0, 40) +
                         ", expected true or false; change it");
}

/// Returns where a text looked: a matrix for each layer and head, with a row for each token written.
Json attention_of(const xp::Seq2Seq<float>& model, const std::vector<std::int64_t>& source,
                  const std::vector<std::int64_t>& written) {
  xp::Array<std::int64_t> ids(xp::Shape{1, source.size()});
  std::copy(source.begin(), source.end(), ids.data());
  xp::Array<std::int64_t> target(xp::Shape{1, written.size()});
  target.data()[0] = model.options().start_id;  // each token is written after those before it
  std::copy(written.begin(), written.end() - 1, target.data() + 1);
  const auto found = model.with_scores(target, model.encode(ids, {}, false), {}, false);
  Json layers = Json::array();
  for (const xp::Var<float>& scores : found.cross_scores) {
    const float* next = scores.data();
    Json heads = Json::array();
    for (std::size_t h = 0; h < scores.shape()[1]; ++h) {
      Json rows = Json::array();
      for (std::size_t t = 0; t < written.size(); ++t) {
        Json row = Json::array();
        for (std::size_t s = 0; s < source.size(); ++s, ++next) {
          row.push_back(std::round(static_cast<double>(*next) * 1000) / 1000);
        }
        rows.push_back(std::move(row));
      }
      heads.push_back(std::move(rows));
    }
    layers.push_back(std::move(heads));
  }
  return layers;
}

}  // namespace

std::string error_text(const std::string& why) { return text_of({{"error", why}}); }

std::thread start_thread(std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& e) {
    throw xp::IoError("serve: no thread: the system gives no more: " + e.code().message() +
                          ", expected 34 threads; raise the limits of memory and processes "
                          "(ulimit -v, ulimit -u)",
                      "serve", e.code().value());
  }
}

std::optional<Event> Answer::next() {
  constexpr std::chrono::milliseconds kWait(500);  // until a client is looked for
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kWait, [this] { return text_.has_value() || last_.has_value(); });
  if (!text_) return last_;
  Event event = std::move(*text_);
  text_.reset();
  return event;
}

void Answer::tell(Event event) {
  {
    const std::scoped_lock lock(mutex_);
    (event.name == "text" ? text_ : last_) = std::move(event);
  }
  changed_.notify_one();
}

void Answer::leave() {
  const std::scoped_lock lock(mutex_);
  left_ = true;
}

bool Answer::left() const {
  const std::scoped_lock lock(mutex_);
  return left_;
}

Answers::Answers(const ServeSettings& settings)
    : settings_(settings),
      bundle_(load_bundle(settings.folder)),
      most_(longest({bundle_.model.get()})),
      thread_(start_thread([this] { work(); })) {}

Answers::~Answers() {
  stop();
  thread_.join();
}

std::string Answers::about() const {
  const xp::Seq2SeqOptions& o = bundle_.model->options();
  std::filesystem::path folder(settings_.folder);
  if (!folder.has_filename()) folder = folder.parent_path();
  const auto kind = [](Tokens tokens) {
    return tokens == Tokens::characters ? "characters"
                                        : (tokens == Tokens::words ? "words" : "pieces");
  };
  return text_of({{"name", folder.filename().string()},
                  {"source_tokens", kind(bundle_.language.source_kind)},
                  {"target_tokens", kind(bundle_.language.target_kind)},
                  {"most_tokens", most_},
                  {"encoder_layers", o.encoder_layers},
                  {"decoder_layers", o.decoder_layers},
                  {"heads", o.num_heads},
                  {"beam", settings_.decode.beam},
                  {"most_beam", kMostBeam}});
}

Question Answers::question(const std::string& body) const {
  const Json object = object_of(body);
  const auto source = object.find("source");
  if (source == object.end() || !source->is_string()) {
    throw Refusal(400, "source: no text: it is " +
                           (source == object.end() ? "missing" : text_of(*source).substr(0, 40)) +
                           kExample);
  }
  Question q;
  q.source = *source;
  q.beam = whole_of(object, "beam", settings_.decode.beam, kMostBeam);
  q.n_best = whole_of(object, "n_best", 1, static_cast<std::int64_t>(q.beam));
  q.attention = flag_of(object, "attention");
  q.stream = flag_of(object, "stream");
  if (q.source.find_first_of("\r\n") != std::string::npos) {
    throw Refusal(400,
                  "source: several lines: it has a line break, expected one sentence; ask for each "
                  "line alone");
  }
  q.ids = bundle_.language.source_ids(q.source);
  if (q.ids.empty()) {
    throw Refusal(400, "source: empty: it has 0 tokens, expected at least 1; write one");
  }
  if (q.ids.size() > most_) {
    throw Refusal(400, "source: too long: it has " + std::to_string(q.ids.size()) +
                           " tokens, expected at most " + std::to_string(most_) + "; shorten it");
  }
  return q;
}

std::shared_ptr<Answer> Answers::ask(Question question) {
  auto answer = std::make_shared<Answer>(std::move(question));
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) throw Refusal(503, kEnds);
    waiting_.push_back(answer);
  }
  changed_.notify_one();
  return answer;
}

void Answers::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
}

/// Throws Refusal if an answer has taken too long, or nobody waits for it.
void Answers::go_on(const Answer& to) const {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) throw Refusal(503, kEnds);
  }
  if (to.left()) {
    throw Refusal(503, "answer: not wanted: its client left, expected one that waits; ask again");
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - to.asked;
  if (time.count() <= settings_.seconds) return;
  throw Refusal(503,
                "out of time: more than " + std::to_string(static_cast<int>(settings_.seconds)) +
                    " s since the question, expected an answer by then; ask again, shorten the "
                    "sentence, or raise --seconds");
}

void Answers::work() {
  while (true) {
    std::shared_ptr<Answer> next;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    try {
      answer(*next);
    } catch (const Refusal& e) {
      next->tell({"error", error_text(e.what()), e.status});
    } catch (const std::bad_alloc&) {
      next->tell({"error",
                  error_text("serve: out of memory: the sentence has " +
                             std::to_string(next->question.ids.size()) +
                             " tokens, expected a shorter one; shorten it"),
                  503});
    } catch (const std::exception& e) {
      next->tell({"error", error_text(e.what()), 500});
    }
  }
}

/// Returns the translations. A beam search is preceded by the most probable tokens, where a stream is wanted.
std::vector<xp::Hypothesis> Answers::search(Answer& to) const {
  const Language& language = bundle_.language;
  const std::vector<Source> sources = {{to.question.ids, 0}};
  DecodeSettings s = settings_.decode;
  s.beam = s.n_best = 1;
  if (to.question.stream) {
    std::vector<std::int64_t> written;
    s.on_token = [&](const xp::WrittenToken& token) {
      go_on(to);
      if (token.token == language.target.end()) return true;
      written.push_back(token.token);
      to.tell({"text", text_of({{"text", language.target_text(written)}})});
      return true;
    };
    auto found = decode({bundle_.model.get()}, language, sources, s);
    if (to.question.beam == 1) return std::move(found[0]);
  }
  s.beam = to.question.beam;
  s.n_best = to.question.n_best;
  s.on_token = [&](const xp::WrittenToken&) {
    go_on(to);
    return true;
  };
  return std::move(decode({bundle_.model.get()}, language, sources, s)[0]);
}

void Answers::answer(Answer& to) {
  go_on(to);
  const Question& q = to.question;
  const Language& language = bundle_.language;
  std::vector<std::string> tokens = language.source_tokens(q.source);
  for (std::string& token : tokens) token = Language::word(token);
  if (language.source_ends) {
    tokens.insert(tokens.begin(), "<s>");
    tokens.emplace_back("</s>");
  }
  Json unknown = Json::array();
  for (std::size_t i = 0; i < q.ids.size(); ++i) {
    if (q.ids[i] == language.source.unknown()) unknown.push_back(i);
  }
  Json translations = Json::array();
  const xp::Seq2SeqOptions& o = bundle_.model->options();
  std::size_t weights = 0;
  for (const xp::Hypothesis& text : search(to)) {
    std::vector<std::string> written = language.target.decode(text.tokens);
    for (std::string& token : written) token = Language::word(token);
    Json& one = translations.emplace_back(Json{{"text", language.target_text(text.tokens)},
                                               {"score", text.score},
                                               {"log_probability", text.log_probability},
                                               {"tokens", written}});
    if (!q.attention || written.empty()) continue;
    go_on(to);
    weights += written.size() * q.ids.size() * static_cast<std::size_t>(o.num_heads) *
               static_cast<std::size_t>(o.decoder_layers);
    one["attention"] =
        weights > kMostWeights ? Json() : attention_of(*bundle_.model, q.ids, text.tokens);
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - to.asked;
  to.tell({"result", text_of({{"source", q.source},
                              {"source_tokens", tokens},
                              {"unknown", unknown},
                              {"beam", q.beam},
                              {"seconds", std::round(time.count() * 1e4) / 1e4},
                              {"translations", std::move(translations)}})});
}

}  // namespace seq2seq
