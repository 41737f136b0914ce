import { Bbr } from './bbr.js';
import { type CongestionController, NewReno } from './congestion.js';
import { Cubic } from './cubic.js';

/** Congestion controllers by name, for `ConnectionOptions.controller`. */
export const CONTROLLERS = {
  cubic: (datagramBytes: number): CongestionController => new Cubic(datagramBytes),
  newreno: (datagramBytes: number): CongestionController => new NewReno(datagramBytes),
  bbr: (datagramBytes: number): CongestionController => new Bbr(datagramBytes),
} as const;
