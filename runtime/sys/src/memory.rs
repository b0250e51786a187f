//! Giving back memory that only starting up or reloading needed.
//!
//! Reading files and making a Plan runs half of the program once, and leaves holes in the heap. Both
//! stay resident, on a machine that has few MiB, until somebody else needs the room. Never gives back
//! what has been written: code is read from its file again when it is run again.

use std::fs;

/// Lets go of pages of code, which come back as they are run, and of free memory of the heap (with glibc; musl keeps
/// little). Does nothing where `/proc` is not to be read.
pub fn give_back() {
    for (start, length) in code(&fs::read_to_string("/proc/self/maps").unwrap_or_default()) {
        let start = core::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the mapping is this process's, of a file, executable and not writable, and position-independent
        // code has no relocations in it: nothing in it differs from the file, which is where its pages come from when
        // they are touched again (madvise(2)).
        let _ = unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; glibc locks its heap.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Keeps what is taken in large pieces apart, so that it is given back once it is free, however often that happens. Without this
/// glibc takes pieces of the size of the largest so far from the heap, where others keep them from being given back
/// (mallopt(3)). To be called before anything is taken.
pub fn keep_large_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; one thread runs so far.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// An answer of Consul's, a Plan on its way to the disk.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 64 * 1024;

/// The mappings of files that are code: where they begin, and their lengths in bytes (proc_pid_maps(5)).
fn code(maps: &str) -> impl Iterator<Item = (usize, usize)> {
    maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (range, permissions) = (words.next()?, words.next()?);
        let is_file = words.nth(3)?.starts_with('/');
        let (start, end) = range.split_once('-')?;
        let (start, end) = (parse(start)?, parse(end)?);
        (is_file && permissions == "r-xp").then_some((start, end.checked_sub(start)?))
    })
}

fn parse(hexadecimal: &str) -> Option<usize> {
    usize::from_str_radix(hexadecimal, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_found() {
        let maps = "\
1000-3000 r--p 00000000 fe:00 7 /usr/bin/lictor
3000-9000 r-xp 00002000 fe:00 7 /usr/bin/lictor
9000-a000 rw-p 00008000 fe:00 7 /usr/bin/lictor
b000-c000 r-xp 00000000 00:00 0
d000-e000 r-xp 00000000 00:00 0 [vdso]
f000-11000 rwxp 00000000 fe:00 7 /usr/lib/odd.so
not a mapping
";
        assert_eq!(code(maps).collect::<Vec<_>>(), [(0x3000, 0x6000)]);
    }

    #[test]
    fn code_runs_on_when_its_pages_were_given_back() {
        let of_code = || {
            let text = fs::read_to_string("/proc/self/smaps").unwrap();
            let mut is_code = false;
            let mut resident = 0;
            for line in text.lines() {
                if line.contains(" r-xp ") {
                    is_code = true;
                } else if line.contains('-') && line.contains("p ") {
                    is_code = false;
                } else if let (true, Some(rest)) = (is_code, line.strip_prefix("Rss:")) {
                    let kib = rest.trim().trim_end_matches(" kB");
                    resident += kib.parse::<u64>().unwrap();
                }
            }
            resident
        };
        let before = of_code();
        give_back();
        let after = of_code();
        assert!(after < before, "{after} of {before} KiB are resident");
    }
}
