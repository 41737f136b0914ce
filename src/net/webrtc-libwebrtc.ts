import { describePair, type PairEnd, type Signal, type WebrtcStack } from './webrtc-stack.js';

interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** What is used of RTCPeerConnection: the package's own types want a browser's. */
interface Connection {
  readonly localDescription: { readonly sdp: string } | null;
  readonly connectionState: string;
  createOffer(): Promise<Description>;
  createAnswer(): Promise<Description>;
  setLocalDescription(description: Description): Promise<void>;
  setRemoteDescription(description: Description): Promise<void>;
  addIceCandidate(candidate: { readonly candidate: string; readonly sdpMid: string }): Promise<void>;
  createDataChannel(label: string): { onopen: (() => void) | null };
  getStats(): Promise<ReadonlyMap<string, Stats>>;
  onicecandidate:
    | ((event: { readonly candidate: { readonly candidate: string; readonly sdpMid: string | null } | null }) => void)
    | null;
  onconnectionstatechange: (() => void) | null;
}

interface Wrtc {
  readonly RTCPeerConnection: new (configuration: {
    readonly iceServers: readonly { readonly urls: string }[];
  }) => Connection;
}

/** libwebrtc, through @roamhq/wrtc. */
export const libwebrtc: WebrtcStack = async (servers, { onSignal, onConnected, onFailed }) => {
  const { default: wrtc } = (await import('@roamhq/wrtc')) as unknown as { readonly default: Wrtc };
  const connection = new wrtc.RTCPeerConnection({ iceServers: servers.map((urls) => ({ urls })) });
  // Descriptions and candidates are taken in the order in which they came.
  let chain = Promise.resolve();
  const next = (work: () => Promise<unknown>, failed: (error: unknown) => void): void => {
    chain = chain.then(work).then(() => undefined, failed);
  };
  const refused = (error: unknown): void => {
    onFailed(String(error));
  };
  const describe = async (type: 'offer' | 'answer'): Promise<void> => {
    await connection.setLocalDescription(
      type === 'offer' ? await connection.createOffer() : await connection.createAnswer(),
    );
    onSignal({ kind: 'description', type, sdp: connection.localDescription?.sdp ?? '' });
  };
  const take = async (signal: Signal): Promise<void> => {
    if (signal.kind === 'description') {
      await connection.setRemoteDescription({ type: signal.type, sdp: signal.sdp });
      if (signal.type === 'offer') await describe('answer');
    } else {
      await connection.addIceCandidate({ candidate: signal.candidate, sdpMid: signal.mid });
    }
  };
  connection.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate)
      onSignal({ kind: 'candidate', candidate: candidate.candidate, mid: candidate.sdpMid ?? '0' });
  };
  connection.onconnectionstatechange = () => {
    if (connection.connectionState === 'failed') onFailed('no pair works for it');
  };
  return {
    offer: () => {
      const channel = connection.createDataChannel('yardstick');
      channel.onopen = () => {
        void selectedPair(connection).then(onConnected);
      };
      next(() => describe('offer'), refused);
    },
    signal: (signal) => {
      // One candidate that it does not take does not decide; without a description there is nothing to decide.
      next(() => take(signal), signal.kind === 'description' ? refused : () => undefined);
    },
  };
};

/** What is used of the statistics (W3C webrtc-stats): the transport names the selected pair, the pair its two ends. */
interface Stats {
  readonly type: string;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly address?: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly candidateType?: string;
}

async function selectedPair(connection: Connection): Promise<string | null> {
  const stats = await connection.getStats();
  const transport = [...stats.values()].find(({ type }) => type === 'transport');
  const pair = stats.get(transport?.selectedCandidatePairId ?? '');
  if (!pair) return null;
  const end = (id = ''): PairEnd => {
    const { protocol = '?', address = '?', port = 0, candidateType: type = '?' } = stats.get(id) ?? {};
    return { protocol, address, port, type };
  };
  return describePair(end(pair.localCandidateId), end(pair.remoteCandidateId));
}
