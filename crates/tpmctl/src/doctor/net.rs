//! Listening sockets, as /proc/net/tcp and tcp6 list them (proc_net_tcp.txt of the kernel).

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) port: u16,
    /// Whose it is.
    pub(super) uid: u32,
}

/// The listening sockets of a table; lines of another form are passed over.
pub(super) fn listeners(table: &str) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let local = fields.nth(1)?;
            let state = fields.nth(1)?;
            let uid = fields.nth(3)?;
            let (_, port) = local.rsplit_once(':')?;
            (state == LISTEN).then_some(())?;
            Some(Listener {
                port: u16::from_str_radix(port, 16).ok()?,
                uid: uid.parse().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:7533 00000000:0000 0A 00000000:00000000 00:00000000 00000000   108        0 4711 1 0 100 0 0 10 0\n\
   1: 0100007F:7533 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n\
   2: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
garbage\n";
        assert_eq!(
            listeners(table),
            [
                Listener {
                    port: 30003,
                    uid: 108
                },
                Listener { port: 22, uid: 0 }
            ]
        );
        assert!(listeners("").is_empty());
    }
}
