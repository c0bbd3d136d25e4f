#!/bin/sh
# Runs the demonstration of docker-compose.yaml: a server, the sidecar in front
# of it and a client.
#
#	deploy/docker/compose.sh deploy [-f PORT] [-l PORT] [-h PORT] [-r PATH]
#	    -f  the port that the server listens on and the sidecar forwards to
#	    -l  the port that the sidecar listens on
#	    -h  the port of the sidecar's HTTP server
#	    -r  where the sidecar saves its state; a relative path is in its volume
#	deploy/docker/compose.sh kill [-SIGNAL | -s SIGNAL]
#	deploy/docker/compose.sh logs [OPTION...]
#	deploy/docker/compose.sh undeploy [OPTION...]
#
# A PORT may be written like an address, as in :8001 or 0.0.0.0:8088.
set -eu

fail() {
	echo "make $verb: $*" >&2
	exit 1
}

# port prints the port of an address.
port() {
	number=${2##*:}
	case $number in
	'' | *[!0-9]*) fail "$1 $2: want a port, like 8001 or :8001" ;;
	esac
	echo "$number"
}

case ${1-} in
deploy | undeploy) verb=$1 ;;
kill | logs) verb=docker-$1 ;;
*)
	echo "usage: $0 deploy|kill|logs|undeploy [OPTION...]" >&2
	exit 2
	;;
esac
shift

if [ "$verb" = deploy ]; then
	while getopts f:l:h:r: option; do
		case $option in
		f) FOO_FORWARD_PORT=$(port -f "$OPTARG") || exit 1 ;;
		l) FOO_LISTEN_PORT=$(port -l "$OPTARG") || exit 1 ;;
		h) FOO_HTTP_PORT=$(port -h "$OPTARG") || exit 1 ;;
		r) FOO_RECOVERY_PATH=$OPTARG ;;
		*) fail "the options are -f PORT, -l PORT, -h PORT and -r PATH" ;;
		esac
	done
	export FOO_FORWARD_PORT FOO_LISTEN_PORT FOO_HTTP_PORT FOO_RECOVERY_PATH
	shift $((OPTIND - 1))
	[ $# -eq 0 ] || fail "unexpected \"$1\": the options are -f PORT, -l PORT, -h PORT and -r PATH"
fi

command -v docker >/dev/null || fail "Docker is not installed; \"make run\" shows the same without it"
docker compose version >/dev/null 2>&1 || fail "the Docker client has no \"compose\" command: install the Docker Compose plugin"
docker info >/dev/null 2>&1 || fail "no Docker daemon answers: start it, or use \"make run\", which needs none"

cd "$(dirname "$0")/../.."
case $verb in
deploy)
	docker compose up --detach --build
	echo "statistics: curl localhost:${FOO_HTTP_PORT:-8088}/stats; or make docker-kill args=-SIGUSR2 && make docker-logs"
	;;
docker-kill)
	case ${1-} in
	'') signal=SIGTERM ;;
	-s) signal=${2-} ;;
	*) signal=${1#-} ;;
	esac
	[ -n "$signal" ] || fail "-s needs a signal after it"
	docker compose kill --signal "$signal" sidecar
	;;
docker-logs) docker compose logs --follow "$@" ;;
undeploy) docker compose down "$@" ;;
esac
