# shellcheck shell=bash
# A Consul on this machine's loopback, for the tests of this folder. To be sourced, after mtls.sh.

# start_consul FOLDER: starts a server by itself; CONSUL_PORT is where its HTTP API is, CONSUL_PID who.
start_consul() {
    local consul end=$((SECONDS + 60))
    consul=$(tests/peers/consul)
    CONSUL_PORT=$(free_port "$1")
    cat >"$1/agent.json" <<END
{
  "node_name": "n1", "datacenter": "dc1", "data_dir": "$1/data", "bind_addr": "127.0.0.1",
  "ports": {
    "http": $CONSUL_PORT, "https": -1, "grpc": -1, "dns": -1, "serf_wan": -1,
    "serf_lan": $(free_port "$1"), "server": $(free_port "$1")
  },
  "server": true, "bootstrap_expect": 1, "performance": { "raft_multiplier": 1 },
  "connect": { "enabled": true }, "disable_update_check": true, "log_level": "WARN"
}
END
    "$consul" agent -config-file "$1/agent.json" >"$1/log" 2>&1 &
    CONSUL_PID=$!
    disown "$CONSUL_PID"
    until of_consul connect/ca/roots?pem=true 2>/dev/null | grep -q BEGIN; do
        if ! kill -0 "$CONSUL_PID" || [ "$SECONDS" -ge "$end" ]; then
            tail -n 20 "$1/log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# of_consul PATH [OPTION…]: what its API says.
of_consul() { curl -sf --max-time 20 "${@:2}" "http://127.0.0.1:$CONSUL_PORT/v1/$1"; }

# register_sidecar SERVICE ADDRESS PORT SIDECAR: an instance, SERVICE-1, of a service that its sidecar reaches there; the
# sidecar takes connections at port SIDECAR of whatever machine it is on.
register_sidecar() {
    of_consul agent/service/register -X PUT -d @- <<END
{ "Name": "$1", "ID": "$1-1", "Address": "$2", "Port": $3 }
END
    of_consul agent/service/register -X PUT -d @- <<END
{
  "Kind": "connect-proxy", "Name": "$1-sidecar-proxy", "ID": "$1-1-sidecar-proxy", "Address": "$2", "Port": $4,
  "Proxy": {
    "DestinationServiceName": "$1", "DestinationServiceID": "$1-1",
    "LocalServiceAddress": "$2", "LocalServicePort": $3, "Config": { "bind_address": "0.0.0.0" }
  }
}
END
}

# identity_of FOLDER SERVICE: the service's certificate and key, and Consul's roots, as mint() leaves them.
identity_of() {
    local leaf
    leaf=$(of_consul "agent/connect/ca/leaf/$2" | tr -d '\n')
    printf '%b' "$(sed -E 's/.*"CertPEM": *"([^"]*)".*/\1/' <<<"$leaf")" >"$1/$2.pem"
    printf '%b' "$(sed -E 's/.*"PrivateKeyPEM": *"([^"]*)".*/\1/' <<<"$leaf")" >"$1/$2.key"
    of_consul connect/ca/roots?pem=true >"$1/ca.pem"
}
