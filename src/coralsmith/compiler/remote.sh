# Runs the Edge TPU compiler once on the machine where it is. coralsmith sends, over standard input: three
# assignments (token, size, limit), this text, and then `size` bytes of an archive; after that it holds the
# connection open. Standard output is one archive, behind a line with the token (a login shell may greet before):
# what the compiler printed and wrote. What there is to say about the run itself goes to standard error, behind the
# token too. No file name or argument is ever part of this text.
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin:/bin:${HOME:-}/.local/bin:${HOME:-}/bin
top=${TMPDIR:-/tmp}
folder=
compiler=
watcher=

say() { printf 'coralsmith-%s %s\n' "$token" "$*" >&2; }

free() { df -Pk "$folder" 2>/dev/null | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4; }

finish() {
    trap '' HUP INT TERM PIPE
    test -z "$compiler" || kill -s KILL -- "-$compiler" 2>/dev/null
    test -z "$watcher" || kill -s KILL "$watcher" 2>/dev/null
    test -z "$folder" || rm -rf -- "$folder" 2>/dev/null || { sleep 1; rm -rf -- "$folder"; }
}
trap finish EXIT
trap 'exit 99' HUP INT TERM PIPE

for tool in tar timeout sha256sum mktemp; do
    command -v "$tool" >/dev/null || { say needs "$tool"; exit 90; }
done
program=$(command -v "${EDGETPU_COMPILER:-edgetpu_compiler}") || { say missing; exit 90; }

# What runs left behind whose machine lost its power.
find "$top" -maxdepth 1 -user "$(id -u)" -name 'coralsmith-*' -mmin +1440 -exec rm -rf {} + 2>/dev/null

folder=$(mktemp -d "$top/coralsmith-$token-XXXXXX" 2>/dev/null) || { folder=; say nowhere "$top"; exit 90; }
say begun
cd -- "$folder" || exit 90
echo $$ >script
head -c "$size" | tar -xf - 2>/dev/null && sha256sum -c sums >/dev/null 2>&1 || { say upload "$(free)"; exit 91; }
mkdir out

set --
while IFS= read -r argument; do set -- "$@" "$argument"; done <arguments
say program "$(sha256sum <"$program")"

# The compiler has a process group of its own, that of timeout. The watcher reads on: once the connection is cut
# there is nothing left to read, and everything ends at once.
exec 3<&0
ulimit -f 4194304
timeout -k 10 "$limit" "$program" "$@" </dev/null >stdout 2>stderr 3<&- &
compiler=$!
echo "$compiler" >group
{ cat <&3; kill -s TERM $$; } >/dev/null 2>&1 &
watcher=$!
wait "$compiler"
code=$?
kill -s KILL -- "-$compiler" 2>/dev/null
compiler=
kill -s KILL "$watcher" 2>/dev/null
watcher=

sha256sum stdout stderr out/* 2>/dev/null | while IFS= read -r line; do say sum "$line"; done
say end "$code" "$(free)"
printf 'coralsmith-%s archive\n' "$token"
tar -cf - stdout stderr out || exit 92
