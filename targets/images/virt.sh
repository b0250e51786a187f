# shellcheck shell=bash disable=SC2034
# The machine `virt` of qemu, booted by U-Boot (u-boot-qemu). Facts for targets/image.

# To find the root; and all that comes after.
DISK_MODULES=(virtio_mmio virtio_pci virtio_blk squashfs)
MODULES=(virtio_net ext4 vfat nls_cp437 nls_ascii)
CONSOLE=ttyAMA0

# boot_files FOLDER: what stands on the boot partition beside kernel.img and initrd.img.
boot_files() {
    mkdir "$1/extlinux"
    cat >"$1/extlinux/extlinux.conf" <<END
TIMEOUT 1
DEFAULT lictor
LABEL lictor
  LINUX /kernel.img
  INITRD /initrd.img
  APPEND console=$CONSOLE quiet panic=5
END
}
