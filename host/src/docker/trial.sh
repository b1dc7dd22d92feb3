#!/bin/sh
# Takes nginx's place in a container that is only to show what nginx makes of its configuration.
for program in /usr/sbin/nginx /usr/bin/openresty /usr/local/openresty/bin/openresty /usr/local/openresty/nginx/sbin/nginx \
    /usr/local/nginx/sbin/nginx /usr/local/bin/nginx /opt/bitnami/nginx/sbin/nginx /usr/bin/nginx /sbin/nginx; do
    [ -x "$program" ] || continue
    case " $* " in
    # Others ask as well while the container starts: what version it is, whether the configuration is right.
    *" -v "* | *" -V "* | *" -s "*) exec "$program" "$@" ;;
    esac
    "$program" "$@" -T >/swap-trial/dump 2>/swap-trial/said
    code=$?
    cat /swap-trial/said >&2
    echo "$code" >/swap-trial/code
    exit "$code"
done
echo "no nginx is where one is looked for" >/swap-trial/said
echo 127 >/swap-trial/code
exit 127
