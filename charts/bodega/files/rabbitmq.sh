# RabbitMQ for development, one node that talks to no other.
set -eu
rest=$(cat /etc/bodega/secrets/rabbitmq-url)
rest=${rest#*://}
user=${rest%%:*}
rest=${rest#*:}
umask 077
mkdir -p "$DATA/log" "$DATA/conf.d"
export HOME="$DATA" LANG=C.UTF-8
rm -f "$DATA/.erlang.cookie"
cat /etc/bodega/secrets/rabbitmq-cookie >"$DATA/.erlang.cookie"
chmod 400 "$DATA/.erlang.cookie"
cat >"$DATA/rabbitmq.conf" <<CONF
listeners.tcp.1 = 0.0.0.0:5672
default_user = $user
default_pass = ${rest%%@*}
num_acceptors.tcp = 2
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
log.file = false
CONF
echo '[].' >"$DATA/enabled_plugins"
export RABBITMQ_NODENAME=bodega@localhost RABBITMQ_MNESIA_BASE="$DATA/mnesia" RABBITMQ_LOG_BASE="$DATA/log"
export RABBITMQ_CONFIG_FILE="$DATA/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$DATA/conf.d" RABBITMQ_CONF_ENV_FILE="$DATA/env.conf"
export RABBITMQ_ENABLED_PLUGINS_FILE="$DATA/enabled_plugins" ERL_EPMD_ADDRESS=127.0.0.1 RUNNING_UNDER_SYSTEMD=true
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
exec /usr/lib/rabbitmq/bin/rabbitmq-server
