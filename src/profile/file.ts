import { IcepathError } from '../base/errors.js';
import { type Finding, findingsOf } from '../yaml/fields.js';
import { isMapping, type Located, merged, type Mistake, readYaml } from '../yaml/located-yaml.js';
import { linesOf, mistakesOf } from '../yaml/mistakes.js';
import { quoted } from '../yaml/quantities.js';
import { profileSchema, type Profile } from './schema.js';

/** The profiles that come with the package (`profiles/`). */
export const PROFILE_NAMES = [
  'rfc8445',
  'quicheperf-ice',
  'whatsapp-video-2024',
  'whatsapp-audio-2024',
  'whatsapp-2023',
  'whatsapp-2015',
  'skype-2007',
  'quickshare',
] as const;

/** A profile, and as the far end is told of it: the fields of its file, whatever it extends merged in. */
export interface NamedProfile {
  readonly name: string;
  /** The name or the file that the user gave. */
  readonly given: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly profile: Profile;
}

/** As many may extend one another in a row. */
const MOST_EXTENDED = 4;
/** What a profile says for itself. */
const OWN_FIELDS = ['title', 'observed'];

/**
 * Reads a profile (docs/profiles.md). `resolve` finds the text of one that `extends` names. Throws `profile-invalid` with
 * a line for each mistake: `FILE:LINE: FIELD: what is wrong`.
 */
export function parseProfile(
  text: string,
  file: string,
  resolve: (name: string) => string | null = () => null,
): NamedProfile {
  const located = inherit(text, file, resolve, []);
  const parsed = profileSchema.safeParse(located.value);
  if (!parsed.success) {
    throw invalid(
      parsed.error.issues.flatMap((one) => findingsOf(one, located.value)),
      located,
    );
  }
  const name = file.replace(/^.*\//, '').replace(/\.yaml$/, '');
  return { name, given: file, fields: isMapping(located.value) ? located.value : {}, profile: parsed.data };
}

function inherit(
  text: string,
  file: string,
  resolve: (name: string) => string | null,
  seen: readonly string[],
): Located {
  const own = readYaml(text, file);
  if (!('value' in own)) throw failure(own);
  if (!isMapping(own.value)) throw invalid([{ path: [], what: 'the file holds no fields' }], own);
  const { extends: base, ...rest } = own.value;
  if (typeof base !== 'string') return own;
  const wrong = (what: string): IcepathError => invalid([{ path: ['extends'], what }], own);
  if (seen.includes(base)) throw wrong(`${[...seen, base].join(' extends ')}: that has no end`);
  if (seen.length >= MOST_EXTENDED) throw wrong(`more than ${MOST_EXTENDED} profiles extend one another`);
  const found = /^[\w-]{1,64}$/.test(base) ? resolve(base) : null;
  if (found === null) throw wrong(`no profile is called ${quoted(base)}`);
  const inherited = inherit(found, `profiles/${base}.yaml`, resolve, [...seen, base]);
  const kept = Object.entries(isMapping(inherited.value) ? inherited.value : {}).filter(
    ([name]) => !OWN_FIELDS.includes(name),
  );
  return merged({ ...inherited, value: Object.fromEntries(kept) }, { ...own, value: rest });
}

function invalid(findings: readonly Finding[], located: Located): IcepathError {
  return failure(mistakesOf(findings, located));
}

function failure(mistakes: readonly Mistake[]): IcepathError {
  return new IcepathError(
    'profile-invalid',
    linesOf(mistakes),
    'Mend the file; docs/profiles.md tells what may stand in it.',
  );
}
