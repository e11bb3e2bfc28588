//! The store of tpm2-pkcs11: a database of SQLite (tpm2_pkcs11.sqlite3), read and never written.
//!
//! Its tables, in the schemas 4 to 8: `pobjects`, the parents; `tokens`, each below one of them; `sealobjects`, by which a
//! token's PIN opens; `tobjects`, the objects of a token, whose attributes are a text in YAML. The attributes of keys that
//! PKCS#11 does not know are the two halves, and the key's authorization value, which is encrypted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keys::printable;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::yaml;
use crate::error::Error;

/// The schemas that are known.
const SCHEMAS: std::ops::RangeInclusive<i64> = 4..=8;

/// How long a store is waited for that another program writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest value of a store: real ones have a few thousand bytes.
const LONGEST: i32 = 1 << 20;

/// CKA_CLASS, CKA_LABEL, CKA_KEY_TYPE, CKA_ID, and the three that tpm2-pkcs11 has for itself.
const CLASS: &str = "0";
const LABEL: &str = "3";
const KEY_TYPE: &str = "256";
const ID: &str = "258";
const ENCRYPTED_AUTH: &str = "2399141889";
const PUBLIC: &str = "2399141890";
const PRIVATE: &str = "2399141891";
/// CKO_PRIVATE_KEY.
const PRIVATE_KEY: &str = "3";

/// A store that is open.
pub(super) struct Store {
    connection: Connection,
    shown: String,
}

/// A private key of a token.
pub(super) struct StoredKey {
    pub(super) token: i64,
    pub(super) token_label: String,
    pub(super) label: String,
    pub(super) id: String,
    /// A whole `TPM2B_PUBLIC`.
    pub(super) public: Vec<u8>,
    /// A whole `TPM2B_PRIVATE`.
    pub(super) private: Vec<u8>,
    /// The authorization value, encrypted with the token's key; `None` for a key without one.
    pub(super) encrypted_auth: Option<String>,
}

/// The parent of a token's objects.
pub(super) struct StoredParent {
    /// A persistent one as the Enhanced System API serializes it; `None` for a primary that is made anew.
    pub(super) serialized: Option<Vec<u8>>,
    /// What such a primary is made from.
    pub(super) template: Option<String>,
    pub(super) auth: String,
}

/// What a token's PIN opens: a sealed object, in which the key for authorization values is.
pub(super) struct Sealed {
    pub(super) public: Vec<u8>,
    pub(super) private: Vec<u8>,
    /// What the PIN is hashed with.
    pub(super) salt: Vec<u8>,
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// A database that is none of tpm2-pkcs11's, of another schema, damaged, or locked.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let shown = printable::path(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            // The file is a user's: nothing in its schema runs.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| refused(&shown, &error))?;
        let store = Self { connection, shown };
        store.check_schema()?;
        Ok(store)
    }

    fn check_schema(&self) -> Result<(), Error> {
        let is_ours = self.rows(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('schema', 'tokens', 'pobjects', \
             'sealobjects', 'tobjects')",
            [],
            |row| row.get::<_, i64>(0),
        )?;
        if is_ours != [5] {
            return Err(self.wrong(
                "this is a database of SQLite, and not the store of tpm2-pkcs11: that one has the tables pobjects, tokens, \
                 sealobjects, tobjects and schema",
            ));
        }
        let version = self.rows("SELECT schema_version FROM schema", [], |row| {
            row.get::<_, i64>(0)
        })?;
        match version[..] {
            [version] if SCHEMAS.contains(&version) => Ok(()),
            [version] if version < *SCHEMAS.start() => Err(self.wrong(&format!(
                "the store has the schema {version} of an old tpm2-pkcs11: `tpm2_ptool dbup --path DIRECTORY` brings it up \
                 to date"
            ))),
            [version] => Err(self.wrong(&format!(
                "the store has the schema {version} of a later tpm2-pkcs11, and this version knows {} to {}: have its own \
                 tool write the key's halves, `tpm2_ptool export`, and convert those",
                SCHEMAS.start(),
                SCHEMAS.end()
            ))),
            _ => Err(self.wrong("the store is damaged: it has no schema")),
        }
    }

    /// The private keys of all tokens, or of one.
    pub(super) fn keys(&self, token: Option<&str>) -> Result<Vec<StoredKey>, Error> {
        let objects = self.rows(
            "SELECT tobjects.id, tokens.id, tokens.label, tobjects.attrs FROM tobjects JOIN tokens ON tokens.id = \
             tobjects.tokid ORDER BY tobjects.id",
            [],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                    row.get::<_, String>(3)?,
                ))
            },
        )?;
        let mut keys = Vec::new();
        for (number, token_number, token_label, attributes) in objects {
            if token.is_some_and(|token| token != token_label) {
                continue;
            }
            let damaged =
                |what: &str| self.wrong(&format!("the object {number} is damaged: {what}"));
            let attributes = yaml::scalars(&attributes).map_err(|what| damaged(&what))?;
            let of = |name| attributes.get(name).map_or("", String::as_str);
            if of(CLASS) != PRIVATE_KEY {
                continue;
            }
            let octets = |name| hex_of(&attributes, name).map_err(|what| damaged(&what));
            let text = |name| {
                octets(name)
                    .map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
            };
            let (Some(public), Some(private)) = (octets(PUBLIC)?, octets(PRIVATE)?) else {
                return Err(damaged("a private key without its two halves"));
            };
            log::debug!("object {number}: a key of the type {}", of(KEY_TYPE));
            keys.push(StoredKey {
                token: token_number,
                token_label,
                label: text(LABEL)?,
                id: text(ID)?,
                public,
                private,
                encrypted_auth: Some(text(ENCRYPTED_AUTH)?).filter(|text| !text.is_empty()),
            });
        }
        Ok(keys)
    }

    /// The parent of a token's objects.
    pub(super) fn parent(&self, token: i64) -> Result<StoredParent, Error> {
        let parents = self.rows(
            "SELECT pobjects.hierarchy, pobjects.config, pobjects.objauth FROM pobjects JOIN tokens ON tokens.pid = \
             pobjects.id WHERE tokens.id = ?1",
            [token],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                ))
            },
        )?;
        let [(hierarchy, config, auth)] = &parents[..] else {
            return Err(self.wrong("the store is damaged: a token has no parent"));
        };
        if hierarchy != "o" {
            return Err(self.wrong(
                "a token's parent is not in the owner hierarchy, where tpm2-pkcs11 has all of them",
            ));
        }
        let damaged =
            |what: &str| self.wrong(&format!("the record of a parent is damaged: {what}"));
        let config = yaml::scalars(config).map_err(|what| damaged(&what))?;
        let serialized = hex_of(&config, "esys-tr").map_err(|what| damaged(&what))?;
        let template = config.get("template-name").cloned();
        if serialized.is_none() && template.is_none() {
            return Err(damaged("it says neither which it is nor how it is made"));
        }
        Ok(StoredParent {
            serialized,
            template,
            auth: auth.clone(),
        })
    }

    /// What the user PIN of a token opens, and whether there is none.
    pub(super) fn sealed(&self, token: i64) -> Result<Sealed, Error> {
        let found = self.rows(
            "SELECT userpub, userpriv, userauthsalt FROM sealobjects WHERE tokid = ?1",
            [token],
            |row| Ok((bytes(row, 0)?, bytes(row, 1)?, bytes(row, 2)?)),
        )?;
        match &found[..] {
            [(public, private, salt)] if !public.is_empty() && !private.is_empty() => Ok(Sealed {
                public: public.clone(),
                private: private.clone(),
                salt: salt.clone(),
            }),
            _ => {
                Err(self.wrong("the token has no user PIN yet: `tpm2_ptool initpin` gives it one"))
            }
        }
    }

    /// Whether a token's user PIN is empty, so that nobody is asked for it.
    pub(super) fn has_empty_pin(&self, token: i64) -> Result<bool, Error> {
        let config = self.rows("SELECT config FROM tokens WHERE id = ?1", [token], |row| {
            row.get::<_, String>(0)
        })?;
        let config = config.first().map_or("", String::as_str);
        let config = yaml::scalars(config)
            .map_err(|what| self.wrong(&format!("the record of a token is damaged: {what}")))?;
        Ok(config.get("empty-user-pin").is_some_and(|it| it == "true"))
    }

    fn rows<T>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let rows = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare(query)?;
            statement.query_map(parameters, read)?.collect()
        };
        rows().map_err(|error| refused(&self.shown, &error))
    }

    /// What is wrong with the store.
    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::new(format!("{}: {what}", self.shown))
    }
}

/// Text or a blob: the tool stores a salt as either.
fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    })
}

fn hex_of(values: &BTreeMap<String, String>, name: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(text) = values.get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    hex::decode(text)
        .map(Some)
        .map_err(|_| format!("{name} is no number in hexadecimal"))
}

fn refused(shown: &str, error: &rusqlite::Error) -> Error {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "the store is locked: another program is writing to it. Try again when that has ended"
                .to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!(
                "the store is damaged ({error}): take a copy of before, or what `sqlite3 STORE .recover` still finds"
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => format!(
            "the store cannot be read ({error}): there is no permission, or a program was ended while it wrote, and \
             `tpm2_ptool listprimaries --path DIRECTORY` puts it right"
        ),
        _ => format!("the store cannot be read: {error}"),
    };
    Error::new(format!("{shown}: {what}"))
}
