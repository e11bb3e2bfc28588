//! OpenVPN with keys in the TPM at both ends of a tunnel without a network device.
