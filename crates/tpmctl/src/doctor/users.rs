//! Users and groups: whose access to a device is judged.

use super::machine::Machine;

/// Somebody who is to use the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    /// The groups that count now.
    pub(super) groups: Vec<u32>,
    /// Those that will count after the next login, too.
    pub(super) listed: Vec<u32>,
}

impl User {
    /// Whoever runs the command: the kernel's word for now, /etc/group's for the next login.
    pub(super) fn current(machine: &Machine) -> Option<Self> {
        let status = machine.text("/proc/self/status")?;
        let (uid, groups) = status_ids(&status)?;
        let name = user_name(machine, uid);
        Some(Self {
            listed: listed(machine, &name),
            name,
            uid,
            groups,
        })
    }

    /// The user of this name, after a login.
    pub(super) fn named(machine: &Machine, name: &str) -> Option<Self> {
        let passwd = machine.text("/etc/passwd")?;
        let (uid, gid) = entries(&passwd)
            .find(|fields| fields.first() == Some(&name))
            .and_then(|fields| {
                Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
            })?;
        let mut groups = listed(machine, name);
        groups.push(gid);
        Some(Self {
            name: name.to_owned(),
            uid,
            listed: groups.clone(),
            groups,
        })
    }
}

/// The name of a user, or the number if nobody is called so.
pub(super) fn user_name(machine: &Machine, uid: u32) -> String {
    name_of(machine, "/etc/passwd", uid)
}

/// The name of a group, or the number.
pub(super) fn group_name(machine: &Machine, gid: u32) -> String {
    name_of(machine, "/etc/group", gid)
}

fn name_of(machine: &Machine, path: &str, id: u32) -> String {
    let text = machine.text(path).unwrap_or_default();
    let number = id.to_string();
    entries(&text)
        .find(|fields| fields.get(2) == Some(&number.as_str()))
        .and_then(|fields| fields.first().copied())
        .map_or(number.clone(), str::to_owned)
}

/// The groups in whose lists a user is.
fn listed(machine: &Machine, name: &str) -> Vec<u32> {
    let text = machine.text("/etc/group").unwrap_or_default();
    entries(&text)
        .filter(|fields| {
            let members = fields.get(3).copied().unwrap_or_default();
            members.split(',').any(|member| member == name)
        })
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .collect()
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// The effective user and all groups in /proc/self/status.
fn status_ids(status: &str) -> Option<(u32, Vec<u32>)> {
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace()
            .map(|word| word.parse().ok())
            .collect()
    };
    let uid = *numbers("Uid:")?.get(1)?;
    let mut groups = numbers("Groups:")?;
    groups.push(*numbers("Gid:")?.get(1)?);
    Some((uid, groups))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_status_tells_the_effective_user_and_every_group() {
        let status = "Name:\ttpmctl\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t101\t100\t100\nGroups:\t4 109 \n";
        assert_eq!(status_ids(status), Some((1001, vec![4, 109, 101])));
        assert_eq!(status_ids("Uid:\t0\n"), None);
        assert_eq!(status_ids("Uid: x x\nGid: 0 0\nGroups:\n"), None);
    }

    #[test]
    fn users_and_groups_have_names() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nbad\n",
        )
        .unwrap();
        fs::write(
            root.path().join("etc/group"),
            "root:x:0:\ntss:x:109:www-data,x\nssl:x:110:www-data2\nbad\n",
        )
        .unwrap();
        let machine = Machine::new(root.path()).unwrap();
        let user = User::named(&machine, "www-data").unwrap();
        assert_eq!((user.uid, user.groups), (33, vec![109, 33]));
        assert_eq!(User::named(&machine, "nobody"), None);
        assert_eq!(user_name(&machine, 33), "www-data");
        assert_eq!(user_name(&machine, 4711), "4711");
        assert_eq!(group_name(&machine, 109), "tss");
    }
}
