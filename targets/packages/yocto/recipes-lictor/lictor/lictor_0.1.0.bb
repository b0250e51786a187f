SUMMARY = "Mesh gateway for Consul service mesh"
DESCRIPTION = "Forwards mutual TLS between the parts of a service mesh by server name."
SECTION = "net"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=3cb2dfcdfb82ccd51992ef31d25fe08b \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The recipe is a part of the sources it builds: five folders up.
inherit externalsrc
EXTERNALSRC = "${@os.path.realpath(d.getVar('FILE_DIRNAME') + '/../../../../..')}"

inherit cargo cargo-update-recipe-crates systemd
CARGO_SRC_DIR = "runtime/lictor"

# The crates that Cargo.lock names; bitbake -c update_crates lictor writes this file.
include lictor-crates.inc

do_install:append() {
    install -D -m 0644 ${S}/targets/packages/gateway.hcl ${D}${sysconfdir}/lictor/gateway.hcl
    install -D -m 0644 ${S}/targets/packages/debian/lictor.service ${D}${systemd_system_unitdir}/lictor.service
}

# The example in /etc/lictor has to be filled in before the service is switched on.
SYSTEMD_SERVICE:${PN} = "lictor.service"
SYSTEMD_AUTO_ENABLE = "disable"
CONFFILES:${PN} = "${sysconfdir}/lictor/gateway.hcl"
