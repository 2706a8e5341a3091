# shellcheck shell=bash
# A Docker engine and the image redis:7, on machines that have neither. Sourced by .ci/run and .ci/engine.

IMAGE=redis:7
ENGINE_SECONDS=60
PULL_SECONDS=20

engine_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

docker_compose_there() { docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; }

# start_one OPTION...: start dockerd and wait for its socket; its pid in engine_pid.
start_one() {
  dockerd --data-root "$engine_root/data" --exec-root "$engine_root/exec" --pidfile "$engine_root/pid" "$@" \
    >"$engine_root/log" 2>&1 </dev/null &
  engine_pid=$!
  local deadline=$((SECONDS + ENGINE_SECONDS))
  until engine_answers; do
    if ! kill -0 "$engine_pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      echo "dockerd $* did not come up:" >&2
      tail -5 "$engine_root/log" >&2
      stop_engine
      return 1
    fi
    sleep 0.5
  done
}

# start_engine: nothing to do where one answers; else the kernel decides which options work.
start_engine() {
  engine_root=$(mktemp -d)
  if ! engine_answers; then
    start_one || start_one --storage-driver=vfs || start_one --storage-driver=vfs --iptables=false --ip6tables=false
  fi
  docker version --format 'engine {{.Server.Version}}'
}

stop_engine() {
  if [ -n "${engine_pid:-}" ]; then
    kill "$engine_pid" 2>/dev/null && wait "$engine_pid" 2>/dev/null
    engine_pid=
  fi
  if [ -n "${engine_root:-}" ]; then
    rm -rf "$engine_root"
  fi
}

# provide_redis_image: the published image where a registry can be reached, else one made of this machine's Redis.
provide_redis_image() {
  if docker image inspect "$IMAGE" >/dev/null 2>&1; then
    echo "$IMAGE is there"
  elif timeout "$PULL_SECONDS" docker pull -q "$IMAGE" 2>/dev/null; then
    echo "$IMAGE pulled"
  else
    build_redis_image
    echo "$IMAGE built from $(redis-server --version | cut -d' ' -f3)"
  fi
}

# build_redis_image: redis-server, redis-cli, a shell and their libraries; nothing else is in the image.
build_redis_image() {
  local root program
  root=$(mktemp -d)
  mkdir -p "$root"/{data,tmp,usr/local/bin,usr/bin,bin,etc}
  echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
  for program in "$(command -v redis-server)" "$(command -v redis-cli)" /bin/sh; do
    cp -L "$program" "$root/usr/local/bin/$(basename "$program")"
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
      install -D -m 755 "$(readlink -f "$library")" "$root$library"
    done
  done
  ln -s /usr/local/bin/sh "$root/bin/sh"
  install -m 755 .ci/redis-entrypoint.sh "$root/usr/local/bin/docker-entrypoint.sh"
  tar -C "$root" -c . | docker import \
    --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["redis-server"]' \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'WORKDIR /data' \
    --change 'EXPOSE 6379' --change 'LABEL description="local stand-in built by .ci/engine.sh"' \
    - "$IMAGE" >/dev/null
  rm -rf "$root"
}
