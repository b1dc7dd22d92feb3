# Tries to connect to "$HOST" "$PORT" with whatever is here, for a second. Prints `open`; or `closed`, and in the next line what
# the tool said; or `none` where no tool is here. bash comes first: it needs no guess at what its options are called.
# shellcheck disable=SC2016 # what is between single quotes is for other programs
has() { command -v "$1" >/dev/null 2>&1; }
limit() { if has timeout; then timeout 1 "$@"; else "$@"; fi </dev/null 2>&1; }
over() {
  case $1 in
    0) echo open;;
    124 | 143) printf 'closed\nno answer within 1s\n';;
    *) printf 'closed\n%s\n' "$SAID";;
  esac
  exit 0
}
if has bash; then
  SAID=$(limit bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$HOST" "$PORT")
  CODE=$?
  # A bash that was built without these paths looks for a file.
  case $SAID in *'No such file'*) ;; *) over "$CODE";; esac
fi
if has perl; then
  SAID=$(limit perl -e 'use Socket; my ($host, $port) = @ARGV;
    my $to = $host =~ /:/ ? pack_sockaddr_in6($port, Socket::inet_pton(AF_INET6, $host)) : sockaddr_in($port, inet_aton($host));
    socket(my $socket, $host =~ /:/ ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or die "$!\n";
    connect($socket, $to) or die "$!\n"' "$HOST" "$PORT")
  over $?
fi
if has nc; then
  SAID=$(limit nc -z -w 1 "$HOST" "$PORT")
  CODE=$?
  # One that knows no `-z` tells how it is used, and that is no answer.
  case $SAID in *[Uu]sage* | *'invalid option'* | *'unrecognized option'*) ;; *) over "$CODE";; esac
fi
if has python3; then
  SAID=$(limit python3 -c 'import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
except OSError as error: sys.exit(str(error))' "$HOST" "$PORT")
  over $?
fi
if has php; then
  SAID=$(limit php -r '$host = strpos($argv[1], ":") === false ? $argv[1] : "[$argv[1]]";
    if (!@fsockopen($host, (int) $argv[2], $code, $message, 1)) { echo $message; exit(1); }' -- "$HOST" "$PORT")
  over $?
fi
if has curl; then
  # It stays connected until the time is up; what counts is whether it came to that.
  case $HOST in *:*) AT="[$HOST]:$PORT";; *) AT="$HOST:$PORT";; esac
  SAID=$(limit curl -g -s -o /dev/null --connect-timeout 1 -m 0.3 -w '%{time_connect}' "telnet://$AT")
  case $SAID in *[1-9]*) over 0;; esac
  SAID='connection refused, or no answer'
  over 1
fi
echo none
