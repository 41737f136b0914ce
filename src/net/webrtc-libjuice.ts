import type { DataChannel, PeerConnection } from 'node-datachannel';
import { describePair, type PairEnd, type WebrtcStack } from './webrtc-stack.js';

/** libjuice, through node-datachannel (libdatachannel). */
export const libjuice: WebrtcStack = async (servers, { onSignal, onConnected, onFailed }) => {
  const { default: datachannel } = await import('node-datachannel');
  const connection = new datachannel.PeerConnection('icepath', { iceServers: [...servers] });
  // The data channel has no other reference, and closes when it is collected.
  const channels: DataChannel[] = [];
  const watch = (channel: DataChannel): void => {
    channels.push(channel);
    channel.onOpen(() => {
      onConnected(selectedPair(connection));
    });
  };
  connection.onLocalDescription((sdp, type) => {
    if (type === 'offer' || type === 'answer') onSignal({ kind: 'description', type, sdp });
  });
  connection.onLocalCandidate((candidate, mid) => {
    onSignal({ kind: 'candidate', candidate, mid });
  });
  connection.onStateChange((state) => {
    if (state === 'failed') onFailed('no pair works for it');
  });
  connection.onDataChannel(watch);
  return {
    offer: () => {
      watch(connection.createDataChannel('yardstick'));
    },
    signal: (signal) => {
      try {
        if (signal.kind === 'description') connection.setRemoteDescription(signal.sdp, signal.type);
        else connection.addRemoteCandidate(signal.candidate, signal.mid);
      } catch (error) {
        // One candidate that it does not take does not decide; without a description there is nothing to decide.
        if (signal.kind === 'description') onFailed(String(error));
      }
    },
  };
};

function selectedPair(connection: PeerConnection): string | null {
  const pair = connection.getSelectedCandidatePair();
  if (!pair) return null;
  const end = ({ transportType, ...rest }: typeof pair.local): PairEnd => ({ protocol: transportType, ...rest });
  return describePair(end(pair.local), end(pair.remote));
}
