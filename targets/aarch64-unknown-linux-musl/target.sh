# shellcheck shell=bash disable=SC2034,SC2100
# What the scripts of targets/ must know of this target. 64-bit ARM: Raspberry Pi 3 and later, i.MX8, Jetson.
debian=arm64                # Debian's name of the architecture
gnu=aarch64-linux-gnu       # the cross gcc that links, and its libc package's name
libc=libc6-dev-arm64-cross
musl=aarch64-linux-musl     # the folder of the musl headers and objects
qemu=qemu-aarch64-static
cpu=cortex-a53              # the processor that qemu plays: the Raspberry Pi 3's, with AES, which that one lacks
unwind=find_object.c        # added to gcc's unwinder: it expects this of glibc, musl lacks it
