/** Numbers of RFC 8446 that both ends of the handshake need. */

/** RFC 8446 §6 and B.2. */
export const ALERT = {
  unexpected_message: 10,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  internal_error: 80,
  missing_extension: 109,
  unsupported_extension: 110,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;
export type AlertName = keyof typeof ALERT;

/** RFC 8446 §4. */
export const MESSAGE = {
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  encrypted_extensions: 8,
  certificate: 11,
  certificate_request: 13,
  certificate_verify: 15,
  finished: 20,
  message_hash: 254,
} as const;

export const EXTENSION = {
  server_name: 0,
  supported_groups: 10,
  signature_algorithms: 13,
  application_layer_protocol_negotiation: 16,
  padding: 21,
  pre_shared_key: 41,
  early_data: 42,
  supported_versions: 43,
  cookie: 44,
  key_share: 51,
  /** RFC 9001 §8.2. */
  quic_transport_parameters: 57,
} as const;

export const TLS_1_2 = 0x0303;
export const TLS_1_3 = 0x0304;

export type GroupName = 'x25519' | 'secp256r1';
export const GROUP_ID: Readonly<Record<GroupName, number>> = { x25519: 0x001d, secp256r1: 0x0017 };
/** In the order of preference. */
export const GROUPS: readonly GroupName[] = ['x25519', 'secp256r1'];

export const groupOf = (id: number): GroupName | undefined => GROUPS.find((name) => GROUP_ID[name] === id);

export type SignatureScheme =
  | 'ecdsa_secp256r1_sha256'
  | 'ecdsa_secp384r1_sha384'
  | 'ed25519'
  | 'rsa_pss_rsae_sha256'
  | 'rsa_pss_rsae_sha384'
  | 'rsa_pss_rsae_sha512';
export const SCHEME_ID: Readonly<Record<SignatureScheme, number>> = {
  ed25519: 0x0807,
  ecdsa_secp256r1_sha256: 0x0403,
  rsa_pss_rsae_sha256: 0x0804,
  ecdsa_secp384r1_sha384: 0x0503,
  rsa_pss_rsae_sha384: 0x0805,
  rsa_pss_rsae_sha512: 0x0806,
};
/** What this end verifies, in the order of preference. */
export const SCHEMES = Object.keys(SCHEME_ID) as SignatureScheme[];

export const schemeOf = (id: number): SignatureScheme | undefined => SCHEMES.find((name) => SCHEME_ID[name] === id);
