/** Base64url without padding (RFC 4648 §5): safe in a shell, a URL and JSON. */
export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

/** The `length` bytes that `text` stands for; `null` for anything but their one canonical spelling. */
export function fromBase64url(text: string, length: number): Uint8Array | null {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  return bytes.length === length && toBase64url(bytes) === text ? bytes : null;
}
