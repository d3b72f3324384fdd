# What the scripts beside this one share. Source it with the programs' paths checked; it changes to a new folder.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}
# same TEXT EXPECTED WHAT
same() { [[ $1 == "$2" ]] || fail "$3 is '${1:0:300}', expected '${2:0:300}'"; }
# Runs a command that must end with this status and say this on standard error: refused STATUS TEXT COMMAND...
# A status of + is any but 0.
refused() {
  local status=$1 text=$2 code=0
  shift 2
  "$@" >out 2>err || code=$?
  if [[ $status == + ]]; then ((code != 0)) || fail "status 0: $*"; else same "$code" "$status" "status of '$*' ($(head -c 300 err))"; fi
  [[ $(<err) == *"$text"* ]] || fail "'$*' said: $(head -c 300 err); expected: $text"
}
# repeated COUNT TEXT
repeated() { printf "%0.s$2" $(seq "$1"); }
