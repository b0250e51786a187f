//! The network interfaces and their addresses (getifaddrs(3)), and which of them the default route leads through.
//!
//! Asked for at a start and at a reload only. The default route is IPv4's, as the kernel shows it in `/proc/net/route` (proc(5)).

use std::{
    ffi::CStr,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr,
};

use libc::{AF_INET, AF_INET6, IFF_UP, ifaddrs, sockaddr, sockaddr_in, sockaddr_in6};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it name its network.
    pub prefix: u8,
    /// Whether the interface is up.
    pub up: bool,
    /// Whether the default route leads through the interface.
    pub default: bool,
}

/// All addresses, those of one interface together, interfaces in the kernel's order.
///
/// # Errors
/// What getifaddrs(3) says.
pub fn addresses() -> io::Result<Vec<Address>> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default = default_interface(&routes);
    let mut first = ptr::null_mut();
    // SAFETY: `first` is valid for writing; it is freed below if the call succeeds.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut order, mut found) = (Vec::new(), Vec::new());
    let mut next: *const ifaddrs = first;
    // SAFETY: each element of the list is valid until it is freed, and the last one's successor is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: the kernel's name of the interface, with its zero, valid as long as the entry.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        if !order.iter().any(|known| *known == name) {
            order.push(name.clone().into_owned());
        }
        // SAFETY: either is null or a socket address of the family that it says, valid as long as the entry.
        let (ip, mask) = unsafe { (ip(entry.ifa_addr), ip(entry.ifa_netmask)) };
        if let Some(ip) = ip {
            found.push(Address {
                ip,
                prefix: mask.map_or(0, ones),
                up: entry.ifa_flags & IFF_UP.cast_unsigned() != 0,
                default: default.is_some_and(|default| *default == name),
                interface: name.into_owned(),
            });
        }
        next = entry.ifa_next;
    }
    // SAFETY: it is the list that was given, freed once, and nothing borrows from it.
    unsafe { libc::freeifaddrs(first) };
    let of = |name: &String| -> Vec<Address> {
        found
            .extract_if(.., |address| address.interface == *name)
            .collect()
    };
    Ok(order.iter().flat_map(of).collect())
}

/// The address in a socket address of the internet.
///
/// # Safety
/// It is null, or a socket address as large as its family says.
unsafe fn ip(address: *const sockaddr) -> Option<IpAddr> {
    // SAFETY: null, or valid as the caller says.
    let family = i32::from(unsafe { address.as_ref() }?.sa_family);
    match family {
        AF_INET => {
            // SAFETY: of that family it is such; it need not be aligned for it.
            let address = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into())
        }
        AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

fn ones(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

/// The interface of the default route with the least metric, the first of several. A line is the interface, the destination, the
/// gateway, the flags, two counts, the metric and the mask.
fn default_interface(routes: &str) -> Option<&str> {
    let routes = routes.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (interface, destination) = (words.next()?, words.next()?);
        let (metric, mask) = (words.nth(4)?, words.next()?);
        let default = destination == "00000000" && mask == "00000000";
        Some((metric.parse::<u32>().ok()?, interface)).filter(|_| default)
    });
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_there_with_its_network() {
        let all = addresses().unwrap();
        let found = all.iter().find(|it| it.ip == Ipv4Addr::LOCALHOST);
        let found = found.expect("127.0.0.1");
        assert_eq!((found.prefix, found.up, found.default), (8, true, false));
        // Those of one interface stand together.
        let mut names: Vec<&str> = all.iter().map(|it| it.interface.as_str()).collect();
        names.dedup();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(names.len(), once.len(), "{names:?}");
    }

    #[test]
    fn the_default_route_with_the_least_metric_counts() {
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let line = |name: &str, to: &str, metric: u32, mask: &str| {
            format!("{name}\t{to}\t0100000A\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let none = line("eth1", "0000000A", 0, "000000FF");
        let half = line("tun0", "00000000", 0, "00000080");
        let modem = line("wwan0", "00000000", 700, "00000000");
        let cable = line("eth0", "00000000", 100, "00000000");
        for (lines, expected) in [
            (vec![], None),
            (vec![&none, &half], None),
            (vec![&none, &modem], Some("wwan0")),
            (vec![&modem, &cable], Some("eth0")),
            (vec![&cable, &modem, &none], Some("eth0")),
        ] {
            let text = head.to_owned() + &lines.into_iter().cloned().collect::<String>();
            assert_eq!(default_interface(&text), expected, "{text}");
        }
        assert_eq!(default_interface("eth0 00000000\nx"), None);
    }
}
