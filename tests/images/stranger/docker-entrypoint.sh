#!/bin/sh
# Does before nginx starts what the public image does: fills templates with the variables that are set, runs scripts.
set -e
case ${1:-} in
nginx | nginx-debug)
    templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
    suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
    output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
    names=$(env | sed -n "s/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\${\1} /p" | tr -d '\n')
    if [ -d "$templates" ]; then
        find "$templates" -follow -type f -name "*$suffix" | while read -r file; do
            to=$output/${file#"$templates"/}
            to=${to%"$suffix"}
            mkdir -p "$(dirname "$to")"
            envsubst "$names" <"$file" >"$to"
        done
    fi
    for script in /docker-entrypoint.d/*.sh; do
        if [ -x "$script" ]; then "$script"; fi
    done
    ;;
esac
exec "$@"
