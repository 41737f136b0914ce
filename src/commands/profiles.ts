import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IcepathError } from '../base/errors.js';
import { nearest } from '../base/nearest.js';
import { type NamedProfile, parseProfile, PROFILE_NAMES } from '../profile/file.js';
import { single } from './options.js';
import { readTextFile } from './text-file.js';

const EXTENSION = '.yaml';

/** The folder that comes with the package: beside `src/` as well as beside `dist/`. */
const FOLDER = findUp(fileURLToPath(new URL('.', import.meta.url)));

/** By name, one that comes with the package; by path (with a `/` or the extension), the user's own file. */
export function loadProfile(given: string): NamedProfile {
  if (given.includes('/') || given.endsWith(EXTENSION)) {
    return { ...parseProfile(read(given), given, builtIn), given };
  }
  const text = builtIn(given);
  if (text !== null) return { ...parseProfile(text, `profiles/${given}${EXTENSION}`, builtIn), given };
  const near = nearest(given, PROFILE_NAMES);
  throw new IcepathError(
    'profile-unknown',
    `no profile is called ${JSON.stringify(given)}${near.length > 0 ? `; near to it: ${near.join(', ')}` : ''}`,
    `There are ${PROFILE_NAMES.join(', ')}; a file of your own is named with its path.`,
  );
}

export const profileOption = single(
  'NAME',
  `play somebody else's schedule beside the run, and tell what it would have found: ${PROFILE_NAMES.join(', ')}, or a file of your own`,
  loadProfile,
);

function builtIn(name: string): string | null {
  return PROFILE_NAMES.some((known) => known === name) ? read(join(FOLDER, name + EXTENSION)) : null;
}

function read(file: string): string {
  return readTextFile(
    file,
    (why, cause) =>
      new IcepathError(
        'profile-unreadable',
        `${file} cannot be read: ${why}`,
        'Check the name; docs/profiles.md tells which there are, and how one is written.',
        { cause },
      ),
  );
}

function findUp(from: string): string {
  const here = join(from, 'profiles');
  return existsSync(here) || dirname(from) === from ? here : findUp(dirname(from));
}
