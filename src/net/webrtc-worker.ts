/** The process of one peer, which webrtc-child.ts starts and kills. Arguments: the stack's name, STUN servers. */
import { errorCode } from '../base/errors.js';
import type { FromWorker, ToWorker } from './webrtc-child.js';
import { libjuice } from './webrtc-libjuice.js';
import { libwebrtc } from './webrtc-libwebrtc.js';

const [name, ...servers] = process.argv.slice(2);
const open = name === 'libjuice' ? libjuice : libwebrtc;

const tell = (message: FromWorker): void => {
  process.send?.(message, undefined, undefined, () => undefined);
};

// Native threads would outlive the parent.
process.on('disconnect', () => process.exit());
if (!process.connected) process.exit();

try {
  const peer = await open(servers, {
    onSignal: (signal) => {
      tell({ type: 'signal', signal });
    },
    onConnected: (pair) => {
      tell({ type: 'connected', pair });
    },
    onFailed: (note) => {
      tell({ type: 'failed', note });
    },
  });
  process.on('message', (message) => {
    const heard = message as ToWorker;
    if (heard.type === 'offer') peer.offer();
    else peer.signal(heard.signal);
  });
  tell({ type: 'opened' });
} catch (error) {
  const absent = errorCode(error) === 'ERR_MODULE_NOT_FOUND';
  // Node goes on with a stack of paths.
  const note = absent ? 'its package is not installed' : String(error).replace(/\n[^]*/, '');
  tell({ type: 'not-opened', note });
}
