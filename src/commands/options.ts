import { isIP } from 'node:net';
import { formatTransportAddress, parseTransportAddress, type TransportAddress } from '../base/address.js';
import { IcepathError } from '../base/errors.js';
import { parsePolicy } from '../ice/policy.js';
import { type ArmDefinition, MOST_OWN_ARMS } from '../mutation/definition.js';
import { ARM_NAMES, type ArmName } from '../mutation/names.js';
import { mistakesIn } from '../mutation/own-arms.js';
import { parseArmsFile } from '../session/arms-file.js';
import { MOST_OWN_EXPERIMENTS, type OwnExperiment } from '../verdict/own-experiment.js';
import type { Option } from './command.js';
import { readTextFile } from './text-file.js';

/** Options that several commands share (design.md, Command line). Every parser names option, value and an example. */

export interface HostPort {
  /** A host name or an IP address; a name is resolved by whoever uses it. */
  readonly host: string;
  readonly port: number;
}

export interface WantedPath {
  /** Interface names. */
  readonly client: string;
  readonly server: string;
}

export function flag(help: string): Option<boolean> {
  return { help, placeholder: null, repeatable: false, parse: (given) => given.length > 0 };
}

export function single<Value>(
  placeholder: string,
  help: string,
  parse: (text: string) => Value,
): Option<Value | undefined> {
  return {
    help,
    placeholder,
    repeatable: false,
    parse: ([text]) => (text === undefined ? undefined : parse(text)),
  };
}

export function repeated<Value>(
  placeholder: string,
  help: string,
  parse: (text: string) => Value,
): Option<readonly Value[]> {
  return { help, placeholder, repeatable: true, parse: (given) => given.map(parse) };
}

/** A positional argument that yargs has already demanded. */
export function argument(placeholder: string, help: string): Option<string> {
  return { help, placeholder, repeatable: false, parse: ([text = '']) => text };
}

export function badValue(option: string, value: string, wants: string, example: string): IcepathError {
  return new IcepathError(
    'bad-option-value',
    `--${option} takes ${wants}, not ${JSON.stringify(value)}`,
    `Write it like this: --${option} ${example}`,
  );
}

export function parseAddress(text: string): string {
  if (isIP(text) === 0) throw badValue('to', text, 'an IP address', '203.0.113.7');
  return text;
}

export function parseReference(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 0xffff) {
    throw badValue('reference', text, 'HOST:PORT', 'stun.example.net:3478');
  }
  return { host, port };
}

export function parseListen(text: string, option = 'listen'): TransportAddress {
  try {
    return parseTransportAddress(text);
  } catch {
    throw badValue(option, text, 'ADDRESS:PORT', formatTransportAddress(LISTEN_EXAMPLE));
  }
}

const LISTEN_EXAMPLE: TransportAddress = { family: 'ipv4', address: '0.0.0.0', port: 4800 };

/** `L↔D`; `L<->D` and `L,D` for keyboards without the arrow. */
export function parseWanted(text: string): WantedPath {
  const [client, server, ...rest] = text.split(/↔|<->|,/).map((name) => name.trim());
  if (client === undefined || client === '' || server === undefined || server === '' || rest.length > 0) {
    throw badValue('wanted', text, "CLIENT↔SERVER, an interface of the client's and one of the server's", 'wwan0,usb0');
  }
  return { client, server };
}

/** The words of a policy, best first. Throws what `parsePolicy` throws, too. */
export function parsePrefer(text: string): readonly string[] {
  const words = list(text);
  if (words.length === 0) throw badValue('prefer', text, 'kinds or families, best first', 'cellular:o2,wifi,ipv6');
  parsePolicy(text);
  return words;
}

export interface ChosenArms {
  readonly arms: readonly ArmName[];
  /** Those that files define. */
  readonly ownArms: readonly ArmDefinition[];
  readonly ownExperiments: readonly OwnExperiment[];
}

/**
 * Names, and files that define more (with a `/` or the extension): all of a file's arms are tried. Files alone add to
 * the built-in ones. Throws what is wrong in a file, and `arms-unreadable`.
 */
export function parseArms(text: string): ChosenArms {
  const items = list(text);
  const isFile = (item: string): boolean => item.includes('/') || item.endsWith('.yaml');
  const { ownArms, ownExperiments } = ownIn(items.filter(isFile));
  const own = ownArms.map(({ name }) => name);
  const named = items.filter((item) => !isFile(item));
  const known: readonly string[] = [...ARM_NAMES, ...own];
  if (items.length === 0 || named.some((arm) => !known.includes(arm)) || new Set(items).size < items.length) {
    const wants = `a list of ${ARM_NAMES.join(', ')} and files with arms of your own, each once`;
    throw badValue('arms', text, wants, 'random,stun,stun~cookie');
  }
  return { arms: [...new Set([...(named.length > 0 ? named : ARM_NAMES), ...own])], ownArms, ownExperiments };
}

function ownIn(files: readonly string[]): Pick<ChosenArms, 'ownArms' | 'ownExperiments'> {
  const parsed = files.map((file) => ({ file, ...parseArmsFile(readArms(file), file) }));
  const arms = parsed.flatMap(({ file, arms: own }) => own.map((definition) => ({ file, definition })));
  const ownArms = arms.map(({ definition }) => definition);
  const ownExperiments = parsed.flatMap(({ experiments }) => experiments);
  const [clash] = mistakesIn(ownArms);
  const distinct = new Set(ownExperiments.map(({ name }) => name)).size === ownExperiments.length;
  const few = ownArms.length <= MOST_OWN_ARMS && ownExperiments.length <= MOST_OWN_EXPERIMENTS;
  if (!clash && few && distinct) return { ownArms, ownExperiments };
  const second = clash && arms[clash.index];
  throw new IcepathError(
    'arms-clash',
    clash
      ? `${second?.file ?? 'a file'}: ${second?.definition.name ?? 'an arm'} ${clash.what}, beside the files before it`
      : few
        ? 'two files have an experiment of one name'
        : `the files have more than ${MOST_OWN_ARMS} arms or ${MOST_OWN_EXPERIMENTS} experiments together`,
    'Leave one of them out, or change it; docs/experiments.md tells what makes arms different.',
  );
}

function readArms(file: string): string {
  return readTextFile(
    file,
    (why, cause) =>
      new IcepathError(
        'arms-unreadable',
        `${file} cannot be read: ${why}`,
        'Check the name; docs/experiments.md has an example to begin with.',
        { cause },
      ),
  );
}

export function parsePorts(text: string): number[] {
  const ports = text.split(',').map((port) => Number(port.trim()));
  if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 0xffff)) {
    throw badValue('ports', text, 'a list of ports', '53,443');
  }
  return ports;
}

export function parsePin(text: string): 'auto' | 'off' {
  if (text !== 'auto' && text !== 'off') throw badValue('pin', text, 'auto or off', 'auto');
  return text;
}

export function parseFile(text: string): string {
  if (text === '' || text.includes('\0')) throw badValue('record', text, 'the name of a file', 'run.icepath.jsonl');
  return text;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

export const referenceOption = repeated(
  'HOST:PORT',
  'a public reference host (icepath reflector, or any STUN server); repeatable',
  parseReference,
);
export const toOption = repeated(
  'ADDRESS',
  'an IP address that a run will send to, the far end’s or the reference’s; repeatable',
  parseAddress,
);
export const wantedOption = repeated(
  'L↔D',
  "a path that you ask about: the client's interface and the server's; also L,D; repeatable",
  parseWanted,
);
export const preferOption = single(
  'LIST',
  'which paths to prefer, best first: cellular:o2,cellular,wifi,ipv6; equal: as ICE has it',
  parsePrefer,
);
export const armsOption = single(
  'LIST',
  'kinds of packets to try: random,stun,stun~40 …, and files with your own: ./my-arms.yaml',
  parseArms,
);
export const pinOption = single('auto|off', 'pin each socket to its interface (auto) or not (off)', parsePin);
export const portsOption = single(
  'LIST',
  'ports that sockets towards the other end have as well, where only some are let through: 443,3478; name them at both ends',
  parsePorts,
);
export const recordOption = single('FILE', 'write the run to FILE, for icepath report', parseFile);
export const listenOption = single('ADDR:PORT', 'where to listen', (text) => parseListen(text));
export const firstOnlyOption = flag('stop at the first path that works, as plain ICE would');
export const deepOption = flag(
  '96 rounds at least instead of 24, for intervals half as wide, and how long NATs keep a mapping: minutes more',
);
export const guessPortsOption = flag(
  'where nothing else can get through and the NATs fit: guess the port of one by many sockets and packets; at both ends',
);
export const webrtcOption = flag('afterwards let libjuice and libwebrtc try the same two hosts');
export const onceOption = flag('end after one client');
export const jsonOption = flag('print one JSON document on stdout and nothing else');
export const verboseOption = flag('log every detail on stderr');
