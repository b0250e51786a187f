# shellcheck shell=bash disable=SC2034,SC2154
# Raspberry Pi 2 to 4 (the 4 in 64 bits only), booted by its own firmware. Facts for targets/image. Laid out after the
# firmware's documentation (<https://www.raspberrypi.com/documentation/computers/config_txt.html>)
# and Debian's kernel; never run on a board, but in qemu's model of a 2B and a 3B.

DISK_MODULES=(sdhci-iproc bcm2835 squashfs)
# Ethernet of the 3B+, and of the 2 and 3; adapters and modems at USB; the USB host they hang on; the watchdog.
MODULES=(lan78xx smsc95xx cdc_ether rndis_host dwc2 bcm2835_wdt ext4 vfat nls_cp437 nls_ascii)
# That of the Pi 4, which Debian's kernel for 32 bits does not know.
[ "$debian" != arm64 ] || MODULES+=(genet)

# boot_files FOLDER: the firmware, the device trees by the names it looks for, and its settings.
boot_files() {
    targets/unpack "$debian" "$work/firmware" raspi-firmware >/dev/null
    local firmware=$work/firmware/usr/lib/raspi-firmware
    cp "$firmware"/{bootcode.bin,start_cd.elf,start4cd.elf,fixup_cd.dat,fixup4cd.dat} "$1"
    find "$kernel" -name 'bcm283[67]-rpi-*.dtb' -exec cp -t "$1" {} +
    local wide=0
    if [ "$debian" = arm64 ]; then
        wide=1
        find "$kernel" -name 'bcm2711-rpi-*.dtb' -exec cp -t "$1" {} +
    fi
    cat >"$1/config.txt" <<END
arm_64bit=$wide
kernel=kernel.img
initramfs initrd.img followkernel
enable_uart=1
# The device trees have the names of the kernel's own sources.
upstream_kernel=1
# No screen: the memory is for the gateway.
gpu_mem=16
END
    # The serial port at the pins: of the 2, and of the others.
    echo "console=ttyAMA0,115200 console=ttyS1,115200 quiet panic=5" >"$1/cmdline.txt"
}
