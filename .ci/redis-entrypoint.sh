#!/bin/sh
# Entry point of the local stand-in for the image redis:7. As in that image, options or a configuration file alone
# mean `redis-server` with them, and a server inside a container answers other containers.
set -e
case "$1" in
  -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
  exec "$@" --protected-mode no
fi
exec "$@"
