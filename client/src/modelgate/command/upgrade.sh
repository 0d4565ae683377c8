#!/bin/sh
# Replaces the containers of docker compose by those of another release, one service after the other. A container stays if
# neither its image nor its settings have changed.
set -eu

say() { echo "modelgate: $*"; }

all=$(docker compose config --services)
[ -n "$(docker compose ps --quiet)" ] || { say "nothing runs here; start it: docker compose up --detach --wait" >&2; exit 1; }
say "building the images, or getting them"
docker compose pull --quiet --ignore-buildable --policy missing
docker compose build --quiet

# outdated SERVICE CONTAINER: whether its settings or its image have changed, so that `up` replaces it.
outdated() {
  image=$(docker inspect --format '{{.Config.Image}}' "$2")
  [ "$1 $(docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}}' "$2")" != \
    "$(docker compose config --hash "$1") $(docker image inspect --format '{{.Id}}' "$image")" ]
}

proxy=$(echo "$all" | grep -qx haproxy && docker compose ps --quiet haproxy || true)
[ -z "$proxy" ] || ! outdated haproxy "$proxy" ||
  say "the settings of haproxy have changed: at the end it is replaced, and refuses connections for a second or two"

# Redis first, because its users must be allowed the keys of a new release. Then readers before writers, HAProxy last.
# `up` also gets the services before, or it would change their number of containers.
upgraded=
up() {
  # shellcheck disable=SC2086
  docker compose up --detach --wait --wait-timeout 180 "$@" $upgraded || {
    say "the new $service does not become healthy, so the upgrade stops here; later services run the old release." \
      "See: docker compose logs $service" >&2
    exit 1
  }
}
workers=$(echo "$all" | grep '^worker' | sort) # those of environments, too
for service in redis redis-2 redis-3 sentinel-1 sentinel-2 sentinel-3 mirror observer $workers gateway gateway-2 trainer events haproxy; do
  echo "$all" | grep -qx "$service" || continue
  count=$(docker compose ps --quiet "$service" | wc -l)
  [ "$count" -gt 0 ] || { say "$service does not run and is left out"; continue; }
  say "replacing $service"
  upgraded="$upgraded --scale $service=$count $service"
  # One worker after the other, so that the rest scores meanwhile.
  for container in $([ "${service#worker}" = "$service" ] || [ "$count" = 1 ] || docker compose ps --quiet "$service"); do
    outdated "$service" "$container" || continue
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
    up --no-recreate
  done
  up
done
[ -z "$proxy" ] || [ "$proxy" != "$(docker compose ps --quiet haproxy)" ] || {
  # Docker does not notice that a mounted file has changed. HAProxy reads it again without losing a connection.
  docker compose exec -T haproxy haproxy -c -f /usr/local/etc/haproxy/haproxy.cfg || {
    say "haproxy cannot read its configuration and goes on with the old one; correct it and run this again" >&2
    exit 1
  }
  # Not `docker compose kill`: Docker would take that for a stop by hand, and never restart HAProxy again.
  docker compose exec -T haproxy sh -c 'kill -USR2 1'
}
say "upgraded"
