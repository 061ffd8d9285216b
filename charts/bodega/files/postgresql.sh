# PostgreSQL for development, in one pod. Its files are its user's alone at each start, whatever the volume's group did.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin)
if [ ! -e "$DATA/PG_VERSION" ]; then
	rm -rf "$DATA" "$DATA.new"
	"$bin/initdb" --pgdata "$DATA.new" --username postgres --auth-local trust --auth-host scram-sha-256 \
		--encoding UTF8 --locale C.UTF-8 >/dev/null
	echo 'host all all all scram-sha-256' >>"$DATA.new/pg_hba.conf"
	mv "$DATA.new" "$DATA"
fi
chmod 700 "$DATA"
rm -f "$DATA/postmaster.pid"
sh /etc/backing/roles.sh | "$bin/postgres" --single -D "$DATA" -c log_min_messages=panic postgres >/dev/null
# The signal to stop waits for nobody's connection to end.
trap 'kill -INT "$server"' TERM INT
"$bin/postgres" -D "$DATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections="$MAX_CONNECTIONS" \
	-c shared_buffers=64MB -c log_min_messages=warning &
server=$!
while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
