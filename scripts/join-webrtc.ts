// join-webrtc offer|answer SECONDS: one end of a data channel of libwebrtc (@roamhq/wrtc), for bench-join. Signals go over
// IPC. The answering end sends for so long, the offering one reads and says what came, as a message; then it is killed,
// since the package's processes do not end well by themselves.

interface Channel {
  binaryType: string;
  readonly readyState: string;
  readonly bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: ArrayBuffer | string }) => void) | null;
  onbufferedamountlow: (() => void) | null;
  send(data: Uint8Array | string): void;
}
interface Description {
  readonly type: string;
  readonly sdp: string;
}
interface Candidate {
  readonly candidate: string;
  readonly sdpMid: string | null;
}
interface Connection {
  readonly localDescription: Description | null;
  createOffer(): Promise<Description>;
  createAnswer(): Promise<Description>;
  setLocalDescription(description: Description): Promise<void>;
  setRemoteDescription(description: Description): Promise<void>;
  addIceCandidate(candidate: Candidate): Promise<void>;
  createDataChannel(label: string): Channel;
  getStats(): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>>;
  onicecandidate: ((event: { readonly candidate: Candidate | null }) => void) | null;
  ondatachannel: ((event: { readonly channel: Channel }) => void) | null;
}
interface Wrtc {
  readonly default: { readonly RTCPeerConnection: new (options: object) => Connection };
}
export type Signal =
  | { readonly kind: 'description'; readonly description: Description }
  | { readonly kind: 'candidate'; readonly candidate: Candidate };
export interface Received {
  readonly kind: 'result';
  readonly firstByteMs: number;
  readonly bytes: number;
  readonly megabits: number;
  readonly longestPauseMs: number;
}
/** Where the data flow, once they do: this end's address. */
export interface Flowing {
  readonly kind: 'flowing';
  readonly address: string;
}

const MESSAGE_BYTES = 16_384;
const FULL_BYTES = 1_048_576;
const END = 'end';

const [role = 'offer', seconds = '5'] = process.argv.slice(2);
const { default: wrtc } = (await import('@roamhq/wrtc')) as unknown as Wrtc;
const connection = new wrtc.RTCPeerConnection({ iceServers: [] });
const tell = (message: Signal | Received | Flowing): void => {
  process.send?.(message, undefined, undefined, () => undefined);
};
process.on('disconnect', () => process.exit());
const beganAt = performance.now();

connection.onicecandidate = ({ candidate }) => {
  if (candidate?.candidate)
    tell({ kind: 'candidate', candidate: { candidate: candidate.candidate, sdpMid: candidate.sdpMid ?? '0' } });
};
const describe = async (made: Description): Promise<void> => {
  await connection.setLocalDescription(made);
  tell({ kind: 'description', description: { type: made.type, sdp: connection.localDescription?.sdp ?? made.sdp } });
};
let chain = Promise.resolve();
process.on('message', (signal: Signal) => {
  chain = chain
    .then(async () => {
      if (signal.kind === 'candidate') return connection.addIceCandidate(signal.candidate);
      await connection.setRemoteDescription(signal.description);
      if (signal.description.type === 'offer') await describe(await connection.createAnswer());
    })
    // A candidate that it does not take does not decide.
    .catch(() => undefined);
});

async function ownAddress(): Promise<string> {
  const stats = await connection.getStats();
  const all = [...stats.values()];
  const pair = stats.get(String(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId));
  const { address, ip } = stats.get(String(pair?.localCandidateId)) ?? {};
  return typeof address === 'string' ? address : typeof ip === 'string' ? ip : '';
}

function read(channel: Channel): void {
  let bytes = 0;
  let first = 0;
  let last = 0;
  let longestPauseMs = 0;
  channel.onmessage = ({ data }) => {
    const now = performance.now();
    if (typeof data === 'string') {
      const megabits = (bytes * 8) / 1000 / (last - first);
      tell({ kind: 'result', firstByteMs: first - beganAt, bytes, megabits, longestPauseMs });
      return;
    }
    if (bytes === 0) {
      first = now;
      void ownAddress().then((address) => {
        tell({ kind: 'flowing', address });
      });
    } else longestPauseMs = Math.max(longestPauseMs, now - last);
    last = now;
    bytes += data.byteLength;
  };
}

function write(channel: Channel): void {
  const message = new Uint8Array(MESSAGE_BYTES).fill(0x69);
  const until = performance.now() + Number(seconds) * 1000;
  let isOver = false;
  channel.bufferedAmountLowThreshold = FULL_BYTES / 4;
  const fill = (): void => {
    if (isOver) return;
    while (channel.bufferedAmount < FULL_BYTES && performance.now() < until) channel.send(message);
    if (performance.now() < until) return;
    isOver = true;
    channel.send(END);
  };
  channel.onbufferedamountlow = fill;
  // What is written while nothing leaves tells of no low amount.
  setInterval(fill, 20);
  fill();
}

if (role === 'offer') {
  const channel = connection.createDataChannel('join');
  channel.binaryType = 'arraybuffer';
  read(channel);
  await describe(await connection.createOffer());
} else {
  connection.ondatachannel = ({ channel }) => {
    if (channel.readyState === 'open') write(channel);
    else
      channel.onopen = () => {
        write(channel);
      };
  };
}
