import { fork, type ChildProcess, type ForkOptions } from 'node:child_process';
import type { Signal, StackName, WebrtcEvents, WebrtcPeer } from './webrtc-stack.js';

/**
 * A peer of another ICE stack in a process of its own, which is killed when it is not needed any more. The packages are
 * native code with threads: of 20 processes that closed their connections of @roamhq/wrtc 0.10.0 and then ended by
 * themselves, 11 died of SIGSEGV, and node-datachannel 0.33.4 keeps a process alive after its connections are closed.
 * Neither may cost a run its report.
 */
export type OpenPeer = (
  name: StackName,
  servers: readonly string[],
  events: WebrtcEvents,
  /** The peer lives until this is aborted. */
  signal: AbortSignal,
) => Promise<WebrtcPeer>;

export type ToWorker = { readonly type: 'offer' } | { readonly type: 'signal'; readonly signal: Signal };
export type FromWorker =
  | { readonly type: 'opened' }
  | { readonly type: 'not-opened'; readonly note: string }
  | { readonly type: 'signal'; readonly signal: Signal }
  | { readonly type: 'connected'; readonly pair: string | null }
  | { readonly type: 'failed'; readonly note: string };

/** Starts webrtc-worker.js with these arguments; tests start it elsewhere. */
export type Launch = (args: readonly string[], options: ForkOptions) => ChildProcess;

const launchWorker: Launch = (args, options) => fork(new URL('./webrtc-worker.js', import.meta.url), args, options);

export function openInChild(launch: Launch = launchWorker): OpenPeer {
  return (name, servers, events, signal) =>
    new Promise((resolve, reject) => {
      const child = launch([name, ...servers], {
        // What native code prints is no line of ours.
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        execArgv: [],
        signal,
        killSignal: 'SIGKILL',
      });
      const tell = (message: ToWorker): void => {
        // A child that is gone is told of by its exit.
        if (child.connected) child.send(message, () => undefined);
      };
      let opened = false;
      const gone = (reason: string): void => {
        if (opened) events.onFailed(reason);
        else reject(new Error(reason));
      };
      child.on('error', (error) => {
        gone(error.message);
      });
      child.on('exit', (code, killedBy) => {
        gone(`its process ended with ${killedBy ?? `exit code ${String(code)}`}`);
      });
      child.on('message', (message) => {
        const heard = message as FromWorker;
        switch (heard.type) {
          case 'opened':
            opened = true;
            resolve({
              offer: () => {
                tell({ type: 'offer' });
              },
              signal: (received) => {
                tell({ type: 'signal', signal: received });
              },
            });
            return;
          case 'not-opened':
            gone(heard.note);
            return;
          case 'signal':
            events.onSignal(heard.signal);
            return;
          case 'connected':
            events.onConnected(heard.pair);
            return;
          case 'failed':
            events.onFailed(heard.note);
            return;
        }
      });
    });
}
