#!/bin/sh
# The script that everybody starts from: run two, check the new one, stop the old one, reload nginx.
#
#     plain-swap.sh SERVICE HEALTH-COMMAND...
#
# The baseline of the benchmark, and a negative control: under load it must lose requests. COMPOSE names the tool.
set -eu
service=$1
shift
compose=${COMPOSE:-docker compose}

old=$($compose ps -q "$service")
$compose up -d --no-deps --no-recreate --scale "$service=2" "$service"
new=$($compose ps -q "$service" | grep -v "$old")
until docker exec "$new" "$@"; do sleep 0.1; done
docker stop "$old"
docker rm "$old"
docker exec "$($compose ps -q nginx)" nginx -s reload
