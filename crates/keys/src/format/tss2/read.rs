//! Reading the DER.
#![forbid(unsafe_code)]

use crypto::der::{Element, Fault, Reader, dotted, tag};

use super::{
    AuthPolicy, FileError, KeyFile, Kind, OWNER, PolicyCommand, PolicyFields, TYPES, is_hierarchy,
};

pub(super) fn is_ours(der: &[u8]) -> bool {
    let mut outer = Reader::new(der);
    let Ok(sequence) = outer.element() else {
        return false;
    };
    if sequence.tag != tag::SEQUENCE || !outer.is_empty() {
        return false;
    }
    sequence.reader().element().is_ok_and(|oid| {
        oid.tag == tag::OID && TYPES.iter().any(|(known, ..)| *known == oid.content)
    })
}

pub(super) fn key_file(der: &[u8]) -> Result<KeyFile, FileError> {
    let mut outer = Fields(Reader::new(der));
    let sequence = outer.required("the whole file", tag::SEQUENCE, "a SEQUENCE")?;
    outer.end("the whole file")?;

    let mut fields = Fields(sequence.reader());
    let oid = fields.required("type", tag::OID, "an OBJECT IDENTIFIER")?;
    match TYPES.iter().find(|(known, ..)| *known == oid.content) {
        Some((_, kind, false)) => current(*kind, fields),
        Some((_, kind, true)) => legacy(*kind, fields),
        None => Err(match dotted(oid.content) {
            Some(oid_text) => FileError::UnknownType {
                offset: oid.start,
                oid: oid_text,
            },
            None => malformed("type", oid.start, "an OBJECT IDENTIFIER", "a malformed one"),
        }),
    }
}

fn current(kind: Kind, mut fields: Fields<'_>) -> Result<KeyFile, FileError> {
    let empty_auth = fields.boolean(0, "emptyAuth")?;
    let policy = fields.policy(1, "policy")?;
    let secret = fields.explicit(2, "secret", tag::OCTET_STRING, "an OCTET STRING")?;
    let secret = match (kind, secret) {
        (Kind::Importable, None) => return Err(FileError::MissingSecret),
        (Kind::Loadable, Some(e)) => {
            return Err(FileError::UnexpectedSecret { offset: e.start });
        }
        (_, secret) => secret.map(|e| tpm2b(&e, "secret")).transpose()?,
    };
    let auth_policies = fields.auth_policies(3)?;
    let description = fields
        .explicit(4, "description", tag::UTF8_STRING, "a UTF8String")?
        .map(|e| utf8(&e, "description"))
        .transpose()?;
    let rsa_parent = fields.boolean(5, "rsaParent")?;
    let branches = fields.branches(6)?;
    let parent = parent(&fields.required("parent", tag::INTEGER, "an INTEGER")?)?;
    let public = fields.required("pubkey", tag::OCTET_STRING, "an OCTET STRING")?;
    let private = fields.required("privkey", tag::OCTET_STRING, "an OCTET STRING")?;
    fields.end("the end of the key")?;
    Ok(KeyFile {
        kind,
        legacy: false,
        empty_auth,
        policy,
        secret,
        auth_policies,
        description,
        rsa_parent,
        branches,
        parent,
        public: tpm2b(&public, "pubkey")?,
        private: tpm2b(&private, "privkey")?,
    })
}

/// SEQUENCE { policy \[1\], authPolicy \[3\], branches \[6\] }, each optional and as in a key file.
pub(super) fn policy_file(der: &[u8]) -> Result<PolicyFields, FileError> {
    let mut outer = Fields(Reader::new(der));
    let sequence = outer.required("the whole file", tag::SEQUENCE, "a SEQUENCE")?;
    outer.end("the whole file")?;
    let mut fields = Fields(sequence.reader());
    let read = PolicyFields {
        policy: fields.policy(1, "policy")?,
        auth_policies: fields.auth_policies(3)?,
        branches: fields.branches(6)?,
    };
    fields.end("the end of the policy")?;
    Ok(read)
}

/// The predecessor: SEQUENCE { type, \[0\] emptyAuth, \[1\] parent, \[2\] pubkey, \[3\] policy, privkey }.
fn legacy(kind: Kind, mut fields: Fields<'_>) -> Result<KeyFile, FileError> {
    let empty_auth = fields.boolean(0, "emptyAuth")?;
    let parent = match fields.explicit(1, "parent", tag::INTEGER, "an INTEGER")? {
        Some(element) => parent(&element)?,
        None => OWNER,
    };
    let offset = fields.0.offset();
    let public = fields
        .explicit(2, "pubkey", tag::OCTET_STRING, "an OCTET STRING")?
        .ok_or_else(|| malformed("pubkey", offset, "field [2]", &describe(fields.0.peek())))?;
    let policy = fields.policy(3, "policy")?;
    let private = fields.required("privkey", tag::OCTET_STRING, "an OCTET STRING")?;
    fields.end("the end of the key")?;
    let file = KeyFile::loadable(
        parent,
        tpm2b(&public, "pubkey")?,
        tpm2b(&private, "privkey")?,
    );
    Ok(KeyFile {
        kind,
        legacy: true,
        empty_auth,
        policy,
        ..file
    })
}

/// The fields of a SEQUENCE, read in order.
struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    /// A field that must be there.
    fn required(
        &mut self,
        field: &'static str,
        tag: u8,
        expected: &'static str,
    ) -> Result<Element<'a>, FileError> {
        let offset = self.0.offset();
        if self.0.peek() != Some(tag) {
            return Err(malformed(field, offset, expected, &describe(self.0.peek())));
        }
        self.0.element().map_err(|fault| match fault {
            Fault::Truncated => {
                let found = format!("the end after {} bytes", self.0.rest().len());
                malformed(field, offset, "as many bytes as its length says", &found)
            }
            Fault::Length | Fault::Tag => {
                malformed(field, offset, "a length in its shortest form", "another")
            }
        })
    }

    /// The one element inside the field tagged `[n]`, if that is there.
    fn explicit(
        &mut self,
        n: u8,
        field: &'static str,
        inner: u8,
        expected: &'static str,
    ) -> Result<Option<Element<'a>>, FileError> {
        if self.0.peek() != Some(tag::explicit(n)) {
            return Ok(None);
        }
        let outer = self.required(field, tag::explicit(n), expected)?;
        let mut fields = Fields(outer.reader());
        let element = fields.required(field, inner, expected)?;
        fields.end(field)?;
        Ok(Some(element))
    }

    /// An optional BOOLEAN, FALSE if absent. Some writers store TRUE as 1.
    fn boolean(&mut self, n: u8, field: &'static str) -> Result<bool, FileError> {
        match self.explicit(n, field, tag::BOOLEAN, "a BOOLEAN")? {
            None => Ok(false),
            Some(Element {
                content: &[octet], ..
            }) => Ok(octet != 0),
            Some(e) => {
                let found = format!("{} bytes", e.content.len());
                Err(malformed(field, e.start, "a BOOLEAN of one byte", &found))
            }
        }
    }

    /// An optional list of policy commands.
    fn policy(&mut self, n: u8, field: &'static str) -> Result<Vec<PolicyCommand>, FileError> {
        let Some(list) = self.explicit(n, field, tag::SEQUENCE, "a SEQUENCE of policy commands")?
        else {
            return Ok(Vec::new());
        };
        policy_commands(&list, field)
    }

    /// The optional alternatives of each PolicyOR.
    fn branches(&mut self, n: u8) -> Result<Vec<Vec<Vec<PolicyCommand>>>, FileError> {
        const FIELD: &str = "branches";
        let Some(list) = self.explicit(n, FIELD, tag::SEQUENCE, "a SEQUENCE of alternatives")?
        else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        let mut each = Fields(list.reader());
        while !each.0.is_empty() {
            let of_one = each.required(FIELD, tag::SEQUENCE, "the alternatives of a PolicyOR")?;
            let mut alternatives = Vec::new();
            let mut commands = Fields(of_one.reader());
            while !commands.0.is_empty() {
                let list = commands.required(FIELD, tag::SEQUENCE, "an alternative (SEQUENCE)")?;
                alternatives.push(policy_commands(&list, FIELD)?);
            }
            all.push(alternatives);
        }
        Ok(all)
    }

    /// The optional list of signed policies.
    fn auth_policies(&mut self, n: u8) -> Result<Vec<AuthPolicy>, FileError> {
        const FIELD: &str = "authPolicy";
        let Some(list) = self.explicit(n, FIELD, tag::SEQUENCE, "a SEQUENCE of signed policies")?
        else {
            return Ok(Vec::new());
        };
        let mut entries = Fields(list.reader());
        let mut policies = Vec::new();
        while !entries.0.is_empty() {
            let entry = entries.required(FIELD, tag::SEQUENCE, "a signed policy (SEQUENCE)")?;
            let mut fields = Fields(entry.reader());
            let name = fields
                .explicit(0, "authPolicy name", tag::UTF8_STRING, "a UTF8String")?
                .map(|e| utf8(&e, "authPolicy name"))
                .transpose()?;
            if fields.0.peek() != Some(tag::explicit(1)) {
                let (offset, found) = (fields.0.offset(), describe(fields.0.peek()));
                return Err(malformed("authPolicy policy", offset, "field [1]", &found));
            }
            let policy = fields.policy(1, "authPolicy policy")?;
            fields.end(FIELD)?;
            policies.push(AuthPolicy { name, policy });
        }
        Ok(policies)
    }

    /// Checks that nothing follows.
    fn end(&self, field: &'static str) -> Result<(), FileError> {
        match self.0.rest().len() {
            0 => Ok(()),
            1 => Err(malformed(
                field,
                self.0.offset(),
                "nothing more",
                "another byte",
            )),
            n => Err(malformed(
                field,
                self.0.offset(),
                "nothing more",
                &format!("{n} bytes"),
            )),
        }
    }
}

fn policy_commands(
    list: &Element<'_>,
    field: &'static str,
) -> Result<Vec<PolicyCommand>, FileError> {
    let mut commands = Fields(list.reader());
    let mut policy = Vec::new();
    while !commands.0.is_empty() {
        let command = commands.required(field, tag::SEQUENCE, "a policy command (SEQUENCE)")?;
        policy.push(policy_command(&command)?);
    }
    Ok(policy)
}

/// TPMPolicy ::= SEQUENCE { commandCode \[0\] INTEGER, commandPolicy \[1\] OCTET STRING }
fn policy_command(command: &Element<'_>) -> Result<PolicyCommand, FileError> {
    let mut fields = Fields(command.reader());
    let missing = |fields: &Fields<'_>, field, expected| {
        malformed(
            field,
            fields.0.offset(),
            expected,
            &describe(fields.0.peek()),
        )
    };
    let code = fields
        .explicit(0, "commandCode", tag::INTEGER, "an INTEGER")?
        .ok_or_else(|| missing(&fields, "commandCode", "field [0]"))?;
    let body = fields
        .explicit(1, "commandPolicy", tag::OCTET_STRING, "an OCTET STRING")?
        .ok_or_else(|| missing(&fields, "commandPolicy", "field [1]"))?;
    fields.end("policy")?;

    let invalid = || {
        let found = format!("{:02x?}", code.content.get(..16).unwrap_or(code.content));
        malformed(
            "commandCode",
            code.start,
            "a command code of at most 32 bits",
            &found,
        )
    };
    let number = match code.content {
        [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => return Err(invalid()),
        digits => unsigned(digits).ok_or_else(invalid)?,
    };
    Ok(PolicyCommand {
        code: number,
        body: body.content.to_vec(),
    })
}

/// The parent's handle. Writers on 32-bit machines stored handles from 0x80000000 on as negative
/// numbers, others put more zeros in front than needed, and 0 once meant the owner hierarchy.
fn parent(element: &Element<'_>) -> Result<u32, FileError> {
    let offset = element.start;
    let value = match element.content {
        // Negative: the sign's extension falls away, and 32 bits that still are negative remain.
        digits @ [0x80..=0xff, ..] => {
            let ones = digits.iter().take_while(|&&octet| octet == 0xff).count();
            let skip = ones.min(digits.len().saturating_sub(4));
            digits.get(skip..).and_then(|digits| match digits {
                &[a @ 0x80..=0xff, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
                _ => None,
            })
        }
        digits => unsigned(digits),
    };
    let handle = value.ok_or_else(|| {
        let found = format!("an INTEGER of {} bytes", element.content.len());
        malformed("parent", offset, "a handle of 32 bits", &found)
    })?;
    match handle {
        0 => Ok(OWNER),
        0x8100_0000..=0x81ff_ffff => Ok(handle),
        handle if is_hierarchy(handle) => Ok(handle),
        0x8000_0000..=0x80ff_ffff => Err(FileError::TransientParent { offset, handle }),
        handle => Err(FileError::InvalidParent { offset, handle }),
    }
}

/// An unsigned number that fits in 32 bits, from at least one octet.
fn unsigned(digits: &[u8]) -> Option<u32> {
    digits.first()?;
    digits.iter().try_fold(0u32, |number, &octet| {
        (number >> 24 == 0).then_some(number << 8 | u32::from(octet))
    })
}

/// A whole TPM2B: two octets that tell the length of the rest, which is not empty.
fn tpm2b(element: &Element<'_>, field: &'static str) -> Result<Vec<u8>, FileError> {
    let expected = "a TPM2B, whose first two bytes tell the length of the rest";
    let Some((size, rest)) = element.content.split_first_chunk() else {
        let found = format!("{} bytes", element.content.len());
        return Err(malformed(field, element.content_start, expected, &found));
    };
    let size = usize::from(u16::from_be_bytes(*size));
    if size != rest.len() || size == 0 {
        let found = format!("{size} before {} bytes", rest.len());
        return Err(malformed(field, element.content_start, expected, &found));
    }
    Ok(element.content.to_vec())
}

fn utf8(element: &Element<'_>, field: &'static str) -> Result<String, FileError> {
    match std::str::from_utf8(element.content) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let offset = element.content_start + error.valid_up_to();
            Err(malformed(field, offset, "UTF-8 text", "other bytes"))
        }
    }
}

fn malformed(field: &'static str, offset: usize, expected: &'static str, found: &str) -> FileError {
    FileError::Malformed {
        field,
        offset,
        expected,
        found: found.to_owned(),
    }
}

/// A tag in words.
fn describe(tag: Option<u8>) -> String {
    match tag {
        None => "the end".into(),
        Some(tag::BOOLEAN) => "a BOOLEAN".into(),
        Some(tag::INTEGER) => "an INTEGER".into(),
        Some(tag::OCTET_STRING) => "an OCTET STRING".into(),
        Some(tag::OID) => "an OBJECT IDENTIFIER".into(),
        Some(tag::UTF8_STRING) => "a UTF8String".into(),
        Some(tag::SEQUENCE) => "a SEQUENCE".into(),
        Some(tag @ 0xa0..=0xbe) => format!("field [{}]", tag & 0x1f),
        Some(tag) => format!("tag {tag:#04x}"),
    }
}
