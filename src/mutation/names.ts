/** Every arm that icepath has built in (design.md, Vocabulary). `random` is the control. */
export const ARM_NAMES = [
  'random',
  'stun',
  'stun~40',
  'stun~cookie',
  'stun~length',
  'stun~type',
  'stun~attributes',
  'stun~40~cookie',
  'dtls',
  'quic',
] as const;

/** An arm: one kind of packet that is tried. Users add arms of their own, so it is an open set of strings. */
export type ArmName = string;

export const CONTROL_ARM = 'random';
export const PLAIN_ARM = 'stun';
