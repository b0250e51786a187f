# shellcheck shell=bash disable=SC2034
# A service that speaks mutual TLS and a client of it, both OpenSSL's, for the tests of this folder.
# To be sourced. The service reverses the lines that it gets, so an answer cannot be an echo of
# something on the way, and closes at the line CLOSE; each demands a certificate of the other.

TRUST_DOMAIN=11111111-2222-3333-4444-555555555555.consul
# In place of the machine's openssl.cnf, whose certificates are all authorities.
MINT=$'[req]\ndistinguished_name = name\n[name]'
SERVICE_NAME=api.default.dc1.internal.$TRUST_DOMAIN

# mint FOLDER [DAYS]: an authority, and a certificate for the service and for the client.
mint() {
    local who request=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "${2:-2}" -config -)
    "${request[@]}" -subj /CN=authority -keyout "$1/ca.key" -out "$1/ca.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -addext "subjectAltName=URI:spiffe://$TRUST_DOMAIN" <<<"$MINT" 2>/dev/null
    for who in api web; do
        "${request[@]}" -subj "/CN=$who" -keyout "$1/$who.key" -out "$1/$who.pem" \
            -CA "$1/ca.pem" -CAkey "$1/ca.key" \
            -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
            -addext extendedKeyUsage=serverAuth,clientAuth \
            -addext "subjectAltName=URI:spiffe://$TRUST_DOMAIN/ns/default/dc/dc1/svc/$who" <<<"$MINT" 2>/dev/null
    done
}

# serve FOLDER: starts the service; SERVICE_PORT is where, SERVICE_PID who.
serve() {
    openssl s_server -accept 0 -rev -Verify 1 -verify_return_error -CAfile "$1/ca.pem" \
        -cert "$1/api.pem" -key "$1/api.key" >"$1/service.log" 2>&1 &
    SERVICE_PID=$!
    disown "$SERVICE_PID" # its end is no news
    wait_for "$1/service.log" '^ACCEPT ' "$SERVICE_PID"
    SERVICE_PORT=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$1/service.log")
}

# serve_files FOLDER: the same with a service that sends the folder's files over HTTP.
serve_files() {
    # shellcheck disable=SC2164 # a shell of its own
    (cd "$1"; exec openssl s_server -accept 0 -HTTP -Verify 1 -verify_return_error -CAfile ca.pem \
        -cert api.pem -key api.key >service.log 2>&1) &
    SERVICE_PID=$!
    disown "$SERVICE_PID"
    wait_for "$1/service.log" '^ACCEPT ' "$SERVICE_PID"
    SERVICE_PORT=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$1/service.log")
}

# download FOLDER PORT FILE BYTES [OPTION…]: fetches a file through the proxy; it must be at least so
# long.
download() {
    local got
    got=$(printf 'GET /%s HTTP/1.0\r\n\r\n' "$3" | client "$1" "$2" 300 "${@:5}" | wc -c)
    [ "$got" -ge "$4" ] || { echo "got $got bytes of $4" >&2; return 1; }
}

# serve_plain FOLDER: starts an app that knows nothing of TLS, to stand behind a sidecar: it reverses
# lines as the service does, closes at CLOSE, and sends the folder's files.
serve_plain() {
    cat >"$1/app" <<'END'
#!/bin/sh
while read -r word rest; do
    case $word in
        CLOSE) exit ;;
        GET) exec cat "${0%/*}${rest%% *}" ;;
        *) echo "$word" | rev ;;
    esac
done
END
    chmod +x "$1/app"
    socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork EXEC:"$1/app" >"$1/service.log" 2>&1 &
    SERVICE_PID=$!
    disown "$SERVICE_PID"
    wait_for "$1/service.log" ' listening on ' "$SERVICE_PID"
    SERVICE_PORT=$(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$1/service.log")
}

# sidecar_file FOLDER [APP [PORT]]: the sidecar of the plain app at SERVICE_PORT of APP, an address
# (this machine's loopback), with the service's identity. web may call it and nobody else. It listens
# at PORT of loopback, or anywhere.
sidecar_file() {
    cat >"$1/sidecar.hcl" <<END
service {
  name = "api"
  port = $SERVICE_PORT
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = ${3:-0}
      proxy { local_service_address = "${2:-127.0.0.1}" }
    }
  }
}
lictor {
  datacenter               = "dc1"
  trust_domain             = "$TRUST_DOMAIN"
  default_intention_policy = "deny"
  roots                    = ["ca.pem"]
  identity "api" {
    certificate = "api.pem"
    key         = "api.key"
  }
}
config_entries {
  bootstrap = [{
    kind    = "service-intentions"
    name    = "api"
    sources = [{ name = "web", action = "allow" }]
  }]
}
END
}

# serve_echo FOLDER: starts a service that sends back what it gets; SERVICE_PORT is where, SERVICE_PID who.
serve_echo() {
    socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork PIPE >"$1/service.log" 2>&1 &
    SERVICE_PID=$!
    disown "$SERVICE_PID"
    wait_for "$1/service.log" ' listening on ' "$SERVICE_PID"
    SERVICE_PORT=$(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$1/service.log")
}

# record_hello FOLDER NAME: what OpenSSL says first to the service NAME, into FOLDER/hello.
record_hello() {
    local sink client
    rm -f "$1/hello"
    socat -u "UNIX-LISTEN:$1/sink" "CREATE:$1/hello" &
    sink=$!
    until [ -S "$1/sink" ]; do sleep 0.01; done
    openssl s_client -unix "$1/sink" -servername "$2.default.dc1.internal.$TRUST_DOMAIN" >/dev/null 2>&1 </dev/null &
    client=$!
    until [ -s "$1/hello" ]; do sleep 0.01; done
    kill "$client"
    wait "$client" "$sink" 2>/dev/null || true
}

# open_flow FOLDER PORT: says that hello to a gateway of this machine, and waits for the first byte of an echo; the
# connection stays open as descriptor FLOW.
open_flow() {
    exec {FLOW}<>"/dev/tcp/127.0.0.1/$2"
    cat "$1/hello" >&"$FLOW"
    timeout 120 head -c 1 <&"$FLOW" >/dev/null
}

# many_services COUNT: lines of the stanza for so many services of two endpoints, as gateway_file takes them.
many_services() {
    local service lines=''
    for ((service = 0; service < $1; service++)); do
        printf -v lines '%s  service "service-%d" { endpoints = ["10.1.%d.%d:20000", "10.2.0.1:%d"] }\\n' \
            "$lines" "$service" $((service >> 8)) $((service & 255)) $((20000 + service))
    done
    echo "$lines"
}

# gateway_file FOLDER [LINES]: the example, on a free port, with a service that is SERVICE_PORT and
# more lines of the stanza.
gateway_file() {
    sed "s/port = 8443/port = 0\n  address = \"127.0.0.1\"/; s/^  # Counters.*/service \"api\" { endpoints = [\"127.0.0.1:$SERVICE_PORT\"] }\n${2:-}/" \
        targets/packages/gateway.hcl >"$1/gateway.hcl"
}

# listens FOLDER NAME: the port of a listener, from the log of lictor.
listens() {
    sed -nE "s/.* listening name=$2.* address=127\.0\.0\.1:([0-9]+).*/\1/p" "$1/log" | head -n 1
}

# client FOLDER PORT SECONDS [OPTION…]: OpenSSL's client, with the identity of web, at this port of
# loopback, for so long at most. It sends what it reads and prints what comes until the other side
# closes. What it has to say is in client.log.
client() {
    timeout "$3" openssl s_client -quiet -ign_eof -connect "127.0.0.1:$2" -servername "$SERVICE_NAME" \
        -verify_return_error -CAfile "$1/ca.pem" -cert "$1/web.pem" -key "$1/web.key" "${@:4}" 2>"$1/client.log"
}

# ask FOLDER PORT WORD [OPTION…]: sends a word through the proxy; it must come back reversed, over
# TLS that both sides verified.
ask() {
    local got
    got=$(printf "%s\nCLOSE\n" "$3" | client "$1" "$2" 20 "${@:4}") || true
    [ "$got" = "$(rev <<<"$3")" ] || {
        echo "sent $3 through port $2 and got '$got'" >&2
        cat "$1/client.log" >&2
        return 1
    }
}

# wait_for FILE PATTERN PID [SECONDS]: until a line of the file matches. Fails when the process
# ends first, or after a minute.
wait_for() {
    local end=$((SECONDS + ${4:-60}))
    until grep -aqE -- "$2" "$1" 2>/dev/null; do
        if ! kill -0 "$3" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
            grep -aqE -- "$2" "$1" 2>/dev/null && return
            echo "no line like '$2' in $1, which ends so:" >&2
            tail -n 20 "$1" >&2
            return 1
        fi
        sleep 0.05
    done
}

# free_port FOLDER: a port of loopback that nobody has now, for a program that does not say which it took.
free_port() {
    openssl s_server -accept 127.0.0.1:0 -nocert </dev/null >"$1/port" 2>&1 &
    local holder=$!
    wait_for "$1/port" '^ACCEPT ' "$holder"
    kill "$holder"
    wait "$holder" 2>/dev/null || true
    sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$1/port"
}
