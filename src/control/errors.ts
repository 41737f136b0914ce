import { IcepathError } from '../base/errors.js';

/** What can go wrong on the control channel, and what a person does about it. Listed in docs/errors.md. */
const NEXT_STEPS = {
  'invite-malformed': 'Paste the whole line that `icepath server` printed: it begins with icepath://.',
  'invite-truncated': 'Copy the whole line that `icepath server` printed, up to its last character.',
  'invite-damaged': 'Copy the line that `icepath server` printed again, do not type it: a character has changed.',
  'control-name-unknown': 'Check the host name in the invite and the name server of this host.',
  'control-connection-refused': 'Start `icepath server` on the other host and use the invite that it prints then.',
  'control-unreachable': 'Check that this host has a route to one of the addresses in the invite.',
  'control-timeout': 'Check that a firewall lets TCP through to the address and port in the invite.',
  'control-not-icepath': 'Check the address and port in the invite: something else answers there.',
  'control-wrong-fingerprint':
    'Use the invite that the server prints now; if it is that one, do not trust the network between the hosts.',
  'control-refused': 'Use the invite that the server prints now: an invite lives as long as its server.',
  'control-busy': 'Wait until the other client has ended, or start a second server on another port.',
  'control-version': 'Install the same version of icepath on both hosts.',
  'control-protocol': 'Install the same version of icepath on both hosts; if it is the same, report this as a bug.',
  'control-silent':
    'Check that the far end still runs and that the path of the control channel is up, then start again.',
  'control-closed': 'Look at the far end: it has ended the run or was stopped.',
  'rendezvous-unreachable':
    'Check host and port of the rendezvous, that `icepath rendezvous` runs there, and that a firewall lets TCP through.',
  'rendezvous-certificate': 'Check the host name in the wss:// URL, its certificate and the clock of this host.',
  'rendezvous-not-one': 'Check the URL of the rendezvous: something else answers there.',
  'rendezvous-no-server': 'Start `icepath server --rendezvous …` again and use the invite that it prints then.',
  'rendezvous-full': 'Wait a minute, or run `icepath rendezvous` on a host of your own.',
  'rendezvous-protocol': 'Install the same version of icepath on both hosts and the rendezvous.',
  'rendezvous-tampered': 'Do not use this rendezvous: run `icepath rendezvous` on a host that you trust more.',
  'rendezvous-cut':
    'Look at the far end and at the rendezvous: one of them was stopped, or the rendezvous cannot be trusted.',
  'control-backlog': 'Use a faster or less busy path for the control channel.',
} as const;

export type ControlCode = keyof typeof NEXT_STEPS;

export function controlError(code: ControlCode, message: string, options?: ErrorOptions): IcepathError {
  return new IcepathError(code, message, NEXT_STEPS[code], options);
}
