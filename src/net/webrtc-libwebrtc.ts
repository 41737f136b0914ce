import type { Signal, WebrtcStack } from './webrtc.js';

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
  getStats(): Promise<ReadonlyMap<string, unknown>>;
  close(): void;
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
  let chain = Promise.resolve();
  // Descriptions and candidates are taken in the order in which they came.
  const next = (work: () => Promise<unknown>): void => {
    chain = chain.then(work).then(
      () => undefined,
      (error: unknown) => {
        onFailed(String(error));
      },
    );
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
    } else if (signal.kind === 'candidate') {
      await connection.addIceCandidate({ candidate: signal.candidate, sdpMid: signal.mid });
    }
  };
  connection.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate)
      onSignal({ kind: 'candidate', candidate: candidate.candidate, mid: candidate.sdpMid ?? '0' });
  };
  connection.onconnectionstatechange = () => {
    if (connection.connectionState === 'failed') onFailed('ICE failed');
  };
  return {
    offer: () => {
      const channel = connection.createDataChannel('yardstick');
      channel.onopen = () => {
        void selectedPair(connection).then(onConnected);
      };
      next(() => describe('offer'));
    },
    signal: (signal) => {
      next(() => take(signal));
    },
    close: () => {
      connection.close();
    },
  };
};

interface CandidateStats {
  readonly ip?: string;
  readonly address?: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly candidateType?: string;
}

async function selectedPair(connection: Connection): Promise<string | null> {
  const stats = await connection.getStats();
  const all = [...stats.values()] as ({
    readonly type: string;
    readonly state?: string;
    readonly nominated?: boolean;
  } & Record<string, unknown>)[];
  const pair = all.find(
    ({ type, state, nominated }) => type === 'candidate-pair' && state === 'succeeded' && nominated === true,
  );
  if (!pair) return null;
  const name = (id: unknown): string => {
    const { ip, address, port, protocol, candidateType } = (stats.get(String(id)) ?? {}) as CandidateStats;
    return `${protocol ?? '?'} ${address ?? ip ?? '?'}:${String(port ?? '?')} (${candidateType ?? '?'})`;
  };
  return `${name(pair.localCandidateId)} ↔ ${name(pair.remoteCandidateId)}`;
}
