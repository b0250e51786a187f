################################################################################
#
# lictor
#
################################################################################

# The package is a part of the sources it builds: five folders up.
LICTOR_VERSION = 0.1.0
LICTOR_SITE = $(realpath $(LICTOR_PKGDIR)/../../../../..)
LICTOR_SITE_METHOD = local
LICTOR_LICENSE = MIT or Apache-2.0
LICTOR_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The binary's crate in the workspace.
LICTOR_SUBDIR = runtime/lictor

# Small, as everywhere else; Buildroot's settings for Rust would win over those of Cargo.toml.
LICTOR_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_LTO=fat \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s

# Buildroot builds without network, and fetches crates only for sources that it downloads itself.
define LICTOR_FETCH_CRATES
	$(TARGET_MAKE_ENV) $(PKG_CARGO_ENV) \
		cargo fetch --locked --manifest-path $(@D)/Cargo.toml
endef
LICTOR_POST_RSYNC_HOOKS += LICTOR_FETCH_CRATES
LICTOR_DEPENDENCIES += host-rustc

define LICTOR_INSTALL_FILES
	$(INSTALL) -D -m 0644 $(@D)/targets/packages/gateway.hcl \
		$(TARGET_DIR)/etc/lictor/gateway.hcl
endef
LICTOR_POST_INSTALL_TARGET_HOOKS += LICTOR_INSTALL_FILES

define LICTOR_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/targets/packages/debian/lictor.service \
		$(TARGET_DIR)/usr/lib/systemd/system/lictor.service
endef

define LICTOR_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(LICTOR_PKGDIR)/S80lictor \
		$(TARGET_DIR)/etc/init.d/S80lictor
endef

define LICTOR_USERS
	lictor -1 lictor -1 * /var/lib/lictor - - mesh gateway
endef

$(eval $(cargo-package))
