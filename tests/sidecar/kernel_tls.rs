//! Where the file says so and the kernel can, the kernel does the TLS of flows, and nobody sees a
//! difference: `targets/test-kernel-tls` runs this and the other scenarios in a guest that can.

use support::backend::Backend;
use support::client::{assert_echo, connect};
use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::sidecar::SidecarFile;

#[test]
#[ignore = "needs a kernel with TLS, and LICTOR_KERNEL_TLS set"]
fn the_flows_of_both_ends_are_left_to_the_kernel() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    for version in ["TLSv1_2", "TLSv1_3"] {
        let entry = format!(
            "{{ kind = \"mesh\" tls {{ incoming {{ tls_min_version = \"{version}\" tls_max_version = \"{version}\" }} }} }}"
        );
        let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
        let api = api.entry(&entry).start();
        let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
            .upstream("api", None)
            .instances("api", &[api.listener("public_listener")])
            .start();
        for _ in 0..10 {
            assert_echo(&mut connect(web.listener("api")), &[5; 100_000]);
        }
        for side in [&api, &web] {
            let stats = side.stats();
            // One whose bytes come in pieces just then stays as it is.
            let left = stats.value("lictor_kernel_tls_total");
            assert!(left > 5.0, "{left} of 10 flows of {version}");
            assert_eq!(stats.refused_in_all(), 0.0, "{version}");
        }
    }
}
