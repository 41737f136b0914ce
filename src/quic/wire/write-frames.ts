import { FRAME } from './frame-types.js';
import { type AckFrame, type Frame, frameTypeOf, type StreamFrame } from './frames.js';
import { varintLength } from './varint.js';
import type { Writer } from './writer.js';

/** Writes a frame; throws `RangeError` where the buffer is too small: ask {@link frameLength} before. */
export function writeFrame(writer: Writer, frame: Frame): void {
  if (frame.type === 'padding') {
    writer.zeros(frame.length);
    return;
  }
  writer.varint(frameTypeOf(frame));
  writeFields(writer, frame);
}

function writeFields(writer: Writer, frame: Exclude<Frame, { readonly type: 'padding' }>): void {
  switch (frame.type) {
    case 'ping':
    case 'handshake-done':
      return;
    case 'ack':
      writeAck(writer, frame);
      return;
    case 'reset-stream':
      writeVarints(writer, frame.stream, frame.errorCode, frame.finalSize);
      return;
    case 'stop-sending':
      writeVarints(writer, frame.stream, frame.errorCode);
      return;
    case 'crypto':
      writeVarints(writer, frame.offset, frame.data.length);
      writer.put(frame.data);
      return;
    case 'new-token':
      writer.varint(frame.token.length);
      writer.put(frame.token);
      return;
    case 'stream':
      writeStreamFields(writer, frame);
      return;
    case 'max-data':
    case 'max-streams':
    case 'max-path-id':
    case 'paths-blocked':
      writer.varint(frame.maximum);
      return;
    case 'max-stream-data':
      writeVarints(writer, frame.stream, frame.maximum);
      return;
    case 'data-blocked':
    case 'streams-blocked':
      writer.varint(frame.limit);
      return;
    case 'stream-data-blocked':
      writeVarints(writer, frame.stream, frame.limit);
      return;
    case 'new-connection-id':
      if (frame.path !== null) writer.varint(frame.path);
      writeVarints(writer, frame.sequence, frame.retirePriorTo);
      writer.uint8(frame.id.length);
      writer.put(frame.id);
      writer.put(frame.resetToken);
      return;
    case 'retire-connection-id':
      if (frame.path !== null) writer.varint(frame.path);
      writer.varint(frame.sequence);
      return;
    case 'path-challenge':
    case 'path-response':
      writer.put(frame.data);
      return;
    case 'connection-close':
      writer.varint(frame.errorCode);
      if (frame.by === 'transport') writer.varint(frame.frameType);
      writer.varint(frame.reason.length);
      writer.put(frame.reason);
      return;
    case 'datagram':
      if (frame.hasLength) writer.varint(frame.data.length);
      writer.put(frame.data);
      return;
    case 'path-abandon':
      writeVarints(writer, frame.path, frame.errorCode);
      return;
    case 'path-status':
      writeVarints(writer, frame.path, frame.sequence);
      return;
    case 'path-cids-blocked':
      writeVarints(writer, frame.path, frame.nextSequence);
  }
}

/** The same as {@link writeFrame}. */
export function writeStream(writer: Writer, frame: StreamFrame): void {
  writer.uint8(FRAME.STREAM + (frame.fin ? 1 : 0) + (frame.hasLength ? 2 : 0) + (frame.offset > 0 ? 4 : 0));
  writeStreamFields(writer, frame);
}

function writeStreamFields(writer: Writer, { stream, offset, data, hasLength }: StreamFrame): void {
  writer.varint(stream);
  if (offset > 0) writer.varint(offset);
  if (hasLength) writer.varint(data.length);
  writer.put(data);
}

function writeVarints(writer: Writer, ...values: readonly number[]): void {
  for (const value of values) writer.varint(value);
}

/** RFC 9000 §19.3.1. */
function writeAck(writer: Writer, { path, delay, ranges, ecn }: AckFrame): void {
  const [first, ...others] = ranges;
  if (first === undefined) throw new RangeError('an ACK acknowledges something');
  if (path !== null) writer.varint(path);
  writeVarints(writer, first.largest, delay, others.length, first.largest - first.smallest);
  let { smallest } = first;
  for (const range of others) {
    writeVarints(writer, smallest - range.largest - 2, range.largest - range.smallest);
    ({ smallest } = range);
  }
  if (ecn !== null) writeVarints(writer, ecn.ect0, ecn.ect1, ecn.ce);
}

/** The bytes that {@link writeFrame} writes. */
export function frameLength(frame: Frame): number {
  const type = varintLength(frameTypeOf(frame));
  switch (frame.type) {
    case 'padding':
      return frame.length;
    case 'ping':
    case 'handshake-done':
      return type;
    case 'ack':
      return type + ackLength(frame);
    case 'reset-stream':
      return type + lengths(frame.stream, frame.errorCode, frame.finalSize);
    case 'stop-sending':
      return type + lengths(frame.stream, frame.errorCode);
    case 'crypto':
      return type + lengths(frame.offset, frame.data.length) + frame.data.length;
    case 'new-token':
      return type + lengths(frame.token.length) + frame.token.length;
    case 'stream':
      return (
        type +
        lengths(frame.stream) +
        (frame.offset > 0 ? lengths(frame.offset) : 0) +
        (frame.hasLength ? lengths(frame.data.length) : 0) +
        frame.data.length
      );
    case 'max-data':
    case 'max-streams':
    case 'max-path-id':
    case 'paths-blocked':
      return type + lengths(frame.maximum);
    case 'max-stream-data':
      return type + lengths(frame.stream, frame.maximum);
    case 'data-blocked':
    case 'streams-blocked':
      return type + lengths(frame.limit);
    case 'stream-data-blocked':
      return type + lengths(frame.stream, frame.limit);
    case 'new-connection-id':
      return (
        type +
        (frame.path === null ? 0 : lengths(frame.path)) +
        lengths(frame.sequence, frame.retirePriorTo) +
        1 +
        frame.id.length +
        frame.resetToken.length
      );
    case 'retire-connection-id':
      return type + (frame.path === null ? 0 : lengths(frame.path)) + lengths(frame.sequence);
    case 'path-challenge':
    case 'path-response':
      return type + frame.data.length;
    case 'connection-close':
      return (
        type +
        lengths(frame.errorCode, frame.reason.length) +
        (frame.by === 'transport' ? lengths(frame.frameType) : 0) +
        frame.reason.length
      );
    case 'datagram':
      return type + (frame.hasLength ? lengths(frame.data.length) : 0) + frame.data.length;
    case 'path-abandon':
      return type + lengths(frame.path, frame.errorCode);
    case 'path-status':
      return type + lengths(frame.path, frame.sequence);
    case 'path-cids-blocked':
      return type + lengths(frame.path, frame.nextSequence);
  }
}

function ackLength({ path, delay, ranges, ecn }: AckFrame): number {
  let length = path === null ? 0 : varintLength(path);
  let above: number | null = null;
  for (const { smallest, largest } of ranges) {
    length += above === null ? lengths(largest, delay, ranges.length - 1) : varintLength(above - largest - 2);
    length += varintLength(largest - smallest);
    above = smallest;
  }
  return length + (ecn === null ? 0 : lengths(ecn.ect0, ecn.ect1, ecn.ce));
}

function lengths(...values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += varintLength(value);
  return sum;
}
