//! Users and groups: whose access to a device is judged.
#![forbid(unsafe_code)]

use std::path::Path;

use super::text;

/// Somebody who is to use the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, or the number if nobody is called so.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The groups that count now.
    pub groups: Vec<u32>,
    /// Those that will count after the next login, too.
    pub listed: Vec<u32>,
}

impl User {
    /// Whoever runs the command: the kernel's word for now, /etc/group's for the next login.
    pub fn current(root: &Path) -> Option<Self> {
        let status = text(root, "proc/self/status")?;
        let (uid, groups) = status_ids(&status)?;
        let name = user_name(root, uid);
        Some(Self {
            listed: listed(root, &name),
            name,
            uid,
            groups,
        })
    }

    /// The user of this name, after a login.
    pub fn named(root: &Path, name: &str) -> Option<Self> {
        let passwd = text(root, "etc/passwd")?;
        let (uid, gid) = entries(&passwd)
            .find(|fields| fields.first() == Some(&name))
            .and_then(|fields| {
                Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
            })?;
        let mut groups = listed(root, name);
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
pub fn user_name(root: &Path, uid: u32) -> String {
    name_of(root, "etc/passwd", uid)
}

/// The name of a group, or the number.
pub fn group_name(root: &Path, gid: u32) -> String {
    name_of(root, "etc/group", gid)
}

fn name_of(root: &Path, path: &str, id: u32) -> String {
    let text = text(root, path).unwrap_or_default();
    let number = id.to_string();
    entries(&text)
        .find(|fields| fields.get(2) == Some(&number.as_str()))
        .and_then(|fields| fields.first().copied())
        .map_or(number.clone(), str::to_owned)
}

/// The groups in whose lists a user is.
fn listed(root: &Path, name: &str) -> Vec<u32> {
    let text = text(root, "etc/group").unwrap_or_default();
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
        let machine = root.path();
        let user = User::named(machine, "www-data").unwrap();
        assert_eq!((user.uid, user.groups), (33, vec![109, 33]));
        assert_eq!(User::named(machine, "nobody"), None);
        assert_eq!(user_name(machine, 33), "www-data");
        assert_eq!(user_name(machine, 4711), "4711");
        assert_eq!(group_name(machine, 109), "tss");
    }
}
