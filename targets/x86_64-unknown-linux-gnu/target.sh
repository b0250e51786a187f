# shellcheck shell=bash disable=SC2034
# What the scripts of targets/ must know of this target. It is built by the Rust that is installed,
# as any Rust program is.
debian=amd64                # Debian's name of the architecture
