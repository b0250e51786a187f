//! Tells the binary what it was built for, since cargo tells only build scripts.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=LICTOR_TARGET={target}");
}
