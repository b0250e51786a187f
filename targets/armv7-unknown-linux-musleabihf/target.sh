# shellcheck shell=bash disable=SC2034,SC2100
# What the scripts of targets/ must know of this target. ARMv7 with a floating point unit: Raspberry Pi 2 and
# later on a 32-bit system, BeagleBone, i.MX6 and i.MX7.
debian=armhf                # Debian's name of the architecture
gnu=arm-linux-gnueabihf     # the cross gcc that links, and its libc package's name
libc=libc6-dev-armhf-cross
musl=arm-linux-musleabihf   # the folder of the musl headers and objects
qemu=qemu-arm-static
cpu=cortex-a7               # the processor that qemu plays: the Raspberry Pi 2's
