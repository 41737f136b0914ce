import type { WebrtcStack } from './webrtc.js';

/** libjuice, through node-datachannel (libdatachannel). */
export const libjuice: WebrtcStack = async (servers, { onSignal, onConnected, onFailed }) => {
  const { default: datachannel } = await import('node-datachannel');
  const connection = new datachannel.PeerConnection('icepath', { iceServers: [...servers] });
  const watch = (channel: { onOpen(callback: () => void): void }): void => {
    channel.onOpen(() => {
      const pair = connection.getSelectedCandidatePair();
      onConnected(pair && `${describe(pair.local)} ↔ ${describe(pair.remote)}`);
    });
  };
  connection.onLocalDescription((sdp, type) => {
    if (type === 'offer' || type === 'answer') onSignal({ kind: 'description', type, sdp });
  });
  connection.onLocalCandidate((candidate, mid) => {
    onSignal({ kind: 'candidate', candidate, mid });
  });
  connection.onStateChange((state) => {
    if (state === 'failed') onFailed('ICE failed');
  });
  connection.onDataChannel(watch);
  return {
    offer: () => {
      watch(connection.createDataChannel('yardstick'));
    },
    signal: (signal) => {
      if (signal.kind === 'description') connection.setRemoteDescription(signal.sdp, signal.type);
      else if (signal.kind === 'candidate') connection.addRemoteCandidate(signal.candidate, signal.mid);
    },
    close: () => {
      connection.close();
    },
  };
};

function describe({
  address,
  port,
  type,
  transportType,
}: {
  address: string;
  port: number;
  type: string;
  transportType: string;
}): string {
  return `${transportType} ${address}:${String(port)} (${type})`;
}
