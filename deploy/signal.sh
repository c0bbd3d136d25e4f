#!/bin/sh
# Sends a signal to the sidecar that "make run" started.
#
#	deploy/signal.sh PIDFILE [-SIGNAL | -s SIGNAL]
#
# SIGNAL is a name, with or without SIG, or a number. Without one it is TERM.
set -eu

fail() {
	echo "make kill: $*" >&2
	exit 1
}

file=$1
shift
case ${1-} in
'') signal=TERM ;;
-s) signal=${2-} ;;
*) signal=${1#-} ;;
esac
# Not every shell's kill knows names that begin with SIG.
signal=${signal#SIG}
[ -n "$signal" ] || fail "-s needs a signal after it"

[ -f "$file" ] || fail "no sidecar of \"make run\" is running ($file is missing); signal another one with kill"
pid=$(cat "$file")
case $pid in
'' | *[!0-9]*) fail "$file does not hold a process id: remove it" ;;
esac

# A process id outlives its process and may by now be another's.
command=$({ ps -p "$pid" -o args= || tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null || true)
[ -n "$command" ] || fail "the sidecar that $file names (process $pid) has ended: remove the file"
program=${command%% *}
case ${program##*/} in
sidecar | sidecar.exe) ;;
*) fail "process $pid, which $file names, is no sidecar but \"$command\": remove the file" ;;
esac

kill -s "$signal" "$pid" || fail "could not send $signal to the sidecar (process $pid)"
echo "sent $signal to the sidecar (process $pid)"
