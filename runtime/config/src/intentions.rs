//! `service-intentions`: who may call a service
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions>).

use crate::fields::record;
use crate::scalars::{Map, Opaque, words};

record! {
    /// Who may call one service.
    pub struct ServiceIntentions("service-intentions") {
        /// `service-intentions`.
        kind: Option<String>,
        /// The service that is called, or `*`.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// Who calls.
        sources: Vec<SourceIntention>,
        /// Which tokens (JWT) are needed.
        jwt: Option<Opaque>,
    }
    known { "create_index", "modify_index" }
}

words! {
    /// What an intention says.
    pub enum IntentionAction {
        /// Nothing: the permissions say it.
        #[default]
        Unset = "",
        /// The call is allowed.
        Allow = "allow",
        /// The call is refused.
        Deny = "deny",
    }
}

record! {
    /// An item of `Sources`.
    pub struct SourceIntention("a source") {
        /// The service that calls, or `*`.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// The peer it belongs to.
        peer: Option<String>,
        /// A sameness group.
        sameness_group: Option<String>,
        /// Whether it may call.
        action: IntentionAction,
        /// What it may call, for HTTP.
        permissions: Vec<IntentionPermission>,
        /// Words of the operator's.
        description: Option<String>,
        /// `consul`.
        r#type: Option<String>,
    }
    known {
        "precedence", "legacy_id", "legacy_meta", "legacy_create_time", "legacy_update_time",
    }
}

record! {
    /// An item of `Permissions`.
    pub struct IntentionPermission("a permission") {
        /// Whether such a request is allowed.
        action: IntentionAction,
        /// Which requests are meant.
        http: Option<IntentionHttp>,
        /// Which tokens (JWT) are needed.
        jwt: Option<Opaque>,
    }
}

record! {
    /// `HTTP { … }` of a permission.
    pub struct IntentionHttp("http") {
        /// The path is this.
        path_exact: Option<String>,
        /// The path begins with this.
        path_prefix: Option<String>,
        /// The path matches this.
        path_regex: Option<String>,
        /// The method is one of these.
        methods: Vec<String>,
        /// The headers match all of these.
        header: Vec<IntentionHeader>,
    }
}

record! {
    /// An item of `Header`.
    pub struct IntentionHeader("a header") {
        /// The header.
        name: Option<String>,
        /// It is there.
        present: bool,
        /// It is this.
        exact: Option<String>,
        /// It begins with this.
        prefix: Option<String>,
        /// It ends with this.
        suffix: Option<String>,
        /// It contains this.
        contains: Option<String>,
        /// It matches this.
        regex: Option<String>,
        /// It does not match.
        invert: bool,
        /// Case does not matter.
        ignore_case: bool,
    }
}
