//! The local file: HCL, JSON and YAML to Settings.
