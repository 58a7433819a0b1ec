#!/usr/bin/env bash
# Makes the certificate that nginx/tls.conf uses: certs.sh DIR [NAME…]
#
# DIR gets gaugeway.pem, gaugeway-key.pem and ca.pem (what a client must trust). A certificate that is still good for a
# month is kept, so running this again is free. NAMEs are added to localhost, 127.0.0.1 and ::1.
#
# mkcert signs with its own authority, which `mkcert -install` makes this machine's browsers trust; CAROOT chooses
# another one. Without mkcert a self-signed certificate is made, which every client must be told to accept.
set -euo pipefail

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
dir=$1
shift
names=(localhost 127.0.0.1 ::1 "$@")
month_seconds=$((30 * 24 * 3600))

say() { printf 'certs.sh: %s\n' "$*" >&2; }

self_signed() {
    local san= name
    for name in "${names[@]}"; do
        case $name in
        *:* | [0-9]*.[0-9]*.[0-9]*.[0-9]*) san+="${san:+,}IP:$name" ;;
        *) san+="${san:+,}DNS:$name" ;;
        esac
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext "subjectAltName=$san" -keyout "$dir/gaugeway-key.pem" -out "$dir/gaugeway.pem" 2>/dev/null
    cp "$dir/gaugeway.pem" "$dir/ca.pem"
}

umask 077
mkdir -p "$dir"

# With names given it is made anew: the one that is there may lack them.
if [ $# -eq 0 ] && [ -s "$dir/gaugeway-key.pem" ] && [ -s "$dir/ca.pem" ] && command -v openssl >/dev/null &&
    openssl x509 -in "$dir/gaugeway.pem" -noout -checkend "$month_seconds" >/dev/null 2>&1; then
    say "$dir/gaugeway.pem is still good, kept"
    exit 0
fi

if command -v mkcert >/dev/null; then
    mkcert -cert-file "$dir/gaugeway.pem" -key-file "$dir/gaugeway-key.pem" "${names[@]}" >/dev/null 2>&1
    cp "$(mkcert -CAROOT)/rootCA.pem" "$dir/ca.pem"
    say "$dir/gaugeway.pem written; \`mkcert -install\` makes browsers here trust it, \`--ca $dir/ca.pem\` other clients"
elif command -v openssl >/dev/null; then
    self_signed
    say "mkcert is missing (Debian: apt-get install mkcert libnss3-tools): $dir/gaugeway.pem is self-signed, browsers will refuse it"
else
    say "neither mkcert nor openssl is here, so no certificate can be made; Debian: apt-get install mkcert libnss3-tools"
    exit 1
fi
