import type { TransportAddress } from '../base/address.js';
import { concatBytes } from '../base/bytes.js';
import type { Ms } from '../base/time.js';
import type { TcpStack, TcpTarget } from './tcp.js';

/** One request and one answer over a connection of its own. */
export interface TcpQuestion extends TcpTarget {
  readonly request: Uint8Array;
  /** For everything. */
  readonly timeoutMs: Ms;
  /** What came so far: `null` when it is the answer, a code when it is none, `undefined` while it is not whole. */
  readonly judge: (received: Uint8Array) => string | null | undefined;
}

/** Bytes of one connection so far → what to answer; `null` while nothing can be said yet. */
export type TcpAnswer = (received: Uint8Array, remote: TransportAddress) => Uint8Array | null;

/** As of the real reflector (net/reflector-tcp.ts). */
const MAX_REQUEST_BYTES = 2048;
const IDLE_MS: Ms = 5000;
const NOTHING: Uint8Array = new Uint8Array(0);

/** Connects, asks, waits for the answer; `done` gets `null` with it, else the kernel's error. Gives how to give up. */
export function askTcp(
  tcp: TcpStack,
  question: TcpQuestion,
  done: (code: string | null, afterMs: Ms) => void,
): () => void {
  const { network } = tcp;
  const began = network.now;
  let received = NOTHING;
  let isOver = false;
  const finish = (code: string | null): void => {
    if (isOver) return;
    isOver = true;
    stream.close();
    done(code, network.now - began);
  };
  const stream = tcp.connect(question, {
    open: () => {
      stream.write(question.request);
    },
    data: (bytes) => {
      received = concatBytes(received, bytes);
      const verdict = question.judge(received);
      if (verdict !== undefined) finish(verdict);
    },
    end: () => {
      finish('ECONNRESET');
    },
    failed: finish,
  });
  network.after(question.timeoutMs, () => {
    finish('ETIMEDOUT');
  });
  return () => {
    isOver = true;
    stream.close();
  };
}

/** Answers the one request of each connection to `at`, then closes it. Gives how to stop, or `EADDRINUSE`. */
export function answerTcp(tcp: TcpStack, at: TransportAddress, answer: TcpAnswer): (() => void) | string {
  return tcp.listen(at, (stream) => {
    let received = NOTHING;
    let isAnswered = false;
    let heardAt = tcp.network.now;
    const closeWhenIdle = (): void => {
      const left = heardAt + IDLE_MS - tcp.network.now;
      if (left > 0) tcp.network.after(left, closeWhenIdle);
      else stream.close();
    };
    closeWhenIdle();
    return {
      data: (bytes) => {
        if (isAnswered) return;
        heardAt = tcp.network.now;
        received = concatBytes(received, bytes);
        const reply = answer(received, stream.remote);
        if (reply) {
          isAnswered = true;
          stream.write(reply);
          stream.end();
        } else if (received.length > MAX_REQUEST_BYTES) stream.close();
      },
      end: () => {
        stream.end();
      },
    };
  });
}
