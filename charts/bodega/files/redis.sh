# Redis for development: a cache, whose content may be lost.
set -eu
rest=$(cat /etc/bodega/secrets/redis-url)
rest=${rest#*://:}
umask 077
mkdir -p "$DATA"
cat >/tmp/redis.conf <<CONF
bind * -::*
port 6379
requirepass ${rest%%@*}
dir $DATA
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
CONF
exec redis-server /tmp/redis.conf
