# shellcheck shell=bash disable=SC2034
# A service that speaks mutual TLS and a client of it, both OpenSSL's, for the tests of this folder.
# To be sourced. The service reverses the lines that it gets, so an answer cannot be an echo of
# something on the way, and closes at the line CLOSE; each demands a certificate of the other.

TRUST_DOMAIN=11111111-2222-3333-4444-555555555555.consul
SERVICE_NAME=api.default.dc1.internal.$TRUST_DOMAIN

# mint FOLDER: an authority, and a certificate for the service and for the client.
mint() {
    local who request=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2)
    "${request[@]}" -subj /CN=authority -keyout "$1/ca.key" -out "$1/ca.pem" \
        -addext "subjectAltName=URI:spiffe://$TRUST_DOMAIN" 2>/dev/null
    for who in api web; do
        "${request[@]}" -subj "/CN=$who" -keyout "$1/$who.key" -out "$1/$who.pem" \
            -CA "$1/ca.pem" -CAkey "$1/ca.key" \
            -addext "subjectAltName=URI:spiffe://$TRUST_DOMAIN/ns/default/dc/dc1/svc/$who" 2>/dev/null
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

# download FOLDER PORT FILE BYTES: fetches a file through the gateway; it must be at least so long.
download() {
    local got
    got=$(printf 'GET /%s HTTP/1.0\r\n\r\n' "$3" | timeout 300 openssl s_client -quiet -ign_eof \
        -connect "127.0.0.1:$2" -servername "$SERVICE_NAME" -verify_return_error \
        -CAfile "$1/ca.pem" -cert "$1/web.pem" -key "$1/web.key" 2>"$1/client.log" | wc -c)
    [ "$got" -ge "$4" ] || { echo "got $got bytes of $4" >&2; return 1; }
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

# ask FOLDER PORT WORD: sends a word through the gateway at this port of loopback; it must come
# back reversed, over TLS that both sides verified.
ask() {
    local got
    got=$(printf "%s\nCLOSE\n" "$3" | timeout 20 openssl s_client -quiet -ign_eof \
        -connect "127.0.0.1:$2" -servername "$SERVICE_NAME" -verify_return_error \
        -CAfile "$1/ca.pem" -cert "$1/web.pem" -key "$1/web.key" 2>"$1/client.log") || true
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
