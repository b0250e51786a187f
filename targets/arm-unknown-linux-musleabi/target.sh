# shellcheck shell=bash disable=SC2034,SC2100
# What the scripts of targets/ must know of this target. ARMv6: Raspberry Pi Zero, Zero W and 1.
debian=armel                # Debian's name of the architecture; its armhf needs ARMv7
gnu=arm-linux-gnueabi       # the cross gcc that links, and its libc package's name
libc=libc6-dev-armel-cross
musl=arm-linux-musleabi     # the folder of the musl headers and objects
qemu=qemu-arm-static
cpu=arm1176                 # the processor that qemu plays: the Raspberry Pi Zero's
