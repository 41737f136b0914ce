import { type Execute, execute } from './execute.js';

/** What NetworkManager says of one device: `nmcli -t device status`. */
export interface ManagedDevice {
  readonly device: string;
  /** `ethernet`, `wifi`, `gsm` … A modem's device is named by its control port: `cdc-wdm0`. */
  readonly type: string;
  /** `connected`, `disconnected`, `unavailable`, `unmanaged` … */
  readonly state: string;
  /** The profile in use, or `null`. */
  readonly connection: string | null;
}

export interface NetworkManager {
  readonly devices: readonly ManagedDevice[];
  /** Whether radios are switched on; `null`: it does not say. */
  readonly radio: { readonly wifi: boolean | null; readonly wwan: boolean | null };
  /** Profiles for modems, used or not. */
  readonly cellularProfiles: readonly string[];
}

/** `null` where there is no NetworkManager to ask. */
export async function readNetworkManager(run: Execute = execute): Promise<NetworkManager | null> {
  const [devices, radio, profiles] = await Promise.all([
    run('nmcli', ['-t', '-f', 'DEVICE,TYPE,STATE,CONNECTION', 'device', 'status']),
    run('nmcli', ['-t', '-f', 'WIFI,WWAN', 'radio']),
    run('nmcli', ['-t', '-f', 'NAME,TYPE', 'connection', 'show']),
  ]);
  // nmcli without its service writes an error and no line.
  if (!devices || devices.stdout.trim() === '') return null;
  const [wifi, wwan] = rowsOf(radio?.stdout ?? '')[0] ?? [];
  return {
    devices: rowsOf(devices.stdout).flatMap(([device = '', type = '', state = '', connection = '']) =>
      device === '' ? [] : [{ device, type, state, connection: connection === '' ? null : connection }],
    ),
    radio: { wifi: switched(wifi), wwan: switched(wwan) },
    cellularProfiles: rowsOf(profiles?.stdout ?? '').flatMap(([name = '', type]) =>
      type === 'gsm' || type === 'cdma' ? [name] : [],
    ),
  };
}

function switched(word: string | undefined): boolean | null {
  if (word === 'enabled') return true;
  return word === 'disabled' ? false : null;
}

/** Lines of `nmcli -t`: fields between colons, where a colon or a backslash of a field has a backslash before it. */
export function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) =>
      [...`:${line}`.matchAll(/:((?:\\.|[^:\\])*)/g)].map(([, field = '']) => field.replace(/\\(.)/g, '$1')),
    );
}
