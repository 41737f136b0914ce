import type { Reader } from '../wire/reader.js';
import { extension, message, uint16, vector16, vector24, vector8 } from './builder.js';
import type { Chain } from './certificates.js';
import { EXTENSION, MESSAGE, SCHEME_ID, SCHEMES } from './codes.js';
import { alert } from './failure.js';
import { alpnList, type Extensions, readExtensions, uint16List, whole } from './hello.js';

/** The messages between the hellos and the Finished. */

export function encryptedExtensions(alpn: string, transportParameters: Uint8Array | null): Uint8Array {
  return message(
    MESSAGE.encrypted_extensions,
    vector16(
      extension(EXTENSION.application_layer_protocol_negotiation, alpnList([alpn])),
      ...(transportParameters === null ? [] : [extension(EXTENSION.quic_transport_parameters, transportParameters)]),
    ),
  );
}

export function readEncryptedExtensions(body: Uint8Array): Extensions {
  return whole(body, 'EncryptedExtensions', readExtensions);
}

const NO_CONTEXT = vector8();

/** RFC 8446 §4.3.2. */
export function certificateRequest(): Uint8Array {
  const schemes = extension(
    EXTENSION.signature_algorithms,
    vector16(uint16(...SCHEMES.map((name) => SCHEME_ID[name]))),
  );
  return message(MESSAGE.certificate_request, NO_CONTEXT, vector16(schemes));
}

export function readCertificateRequest(body: Uint8Array): {
  readonly context: Uint8Array;
  readonly schemes: readonly number[];
} {
  const { context, extensions } = whole(body, 'a CertificateRequest', (reader) => ({
    context: reader.take(reader.uint8()),
    extensions: readExtensions(reader),
  }));
  if (context.length > 0) throw alert('illegal_parameter', 'a request with a context within the handshake');
  const schemes = extensions.get(EXTENSION.signature_algorithms);
  if (schemes === undefined) throw alert('missing_extension', 'a request without signature_algorithms');
  return { context, schemes: uint16List(schemes) };
}

/** RFC 8446 §4.4.2. */
export function certificateMessage(context: Uint8Array, chain: Chain): Uint8Array {
  const entries = chain.flatMap((der) => [vector24(der), vector16()]);
  return message(MESSAGE.certificate, vector8(context), vector24(...entries));
}

export function readCertificateMessage(body: Uint8Array): { readonly context: Uint8Array; readonly chain: Chain } {
  return whole(body, 'a Certificate', (reader) => {
    const context = reader.take(reader.uint8());
    const list = reader.within(reader.uint24());
    const chain: Uint8Array[] = [];
    while (list.left > 0) {
      const der = list.take(list.uint24());
      const extensions = readExtensions(list);
      if (list.failed() || der.length === 0) throw alert('decode_error', 'a certificate is cut off');
      if (extensions.size > 0) throw alert('unsupported_extension', 'a certificate with an extension nobody asked for');
      chain.push(der);
    }
    return { context, chain };
  });
}

/**
 * RFC 8446 §4.6.1: nothing is done with a ticket, but it has to be one. Returns max_early_data_size, which RFC 9001
 * §4.6.1 has a rule for; `null` where the ticket is not for early data.
 */
export function readTicket(body: Uint8Array): number | null {
  const extensions = whole(body, 'a NewSessionTicket', (reader) => {
    reader.take(8);
    reader.take(reader.uint8());
    if (reader.take(reader.uint16()).length === 0) throw alert('decode_error', 'an empty ticket');
    return readExtensions(reader);
  });
  const early = extensions.get(EXTENSION.early_data);
  return early === undefined ? null : whole(early, 'early_data', (reader: Reader) => reader.uint32());
}
