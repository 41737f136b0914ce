import { z } from 'zod';
import { IcepathError } from '../../base/errors.js';
import { dieWithParent } from '../../os/process.js';

/** Where a lab tells the programs that it starts what they cannot know. */
export const LAB_VARIABLE = 'ICEPATH_LAB';

const schema = z.object({
  /** The lab's own process. */
  parent: z.int(),
  /** For the report: how this run came about, and what people call this host. */
  backend: z.string(),
  seed: z.union([z.string(), z.number()]),
  name: z.string(),
  /** Interfaces whose sockets open, but neither send nor hear: a driver that hangs, which no namespace can play. */
  hung: z.array(z.string()),
  /** Interfaces whose sockets hear, but do not send. */
  mute: z.array(z.string()),
});
export type LabEnvironment = z.infer<typeof schema>;

/** What the lab says; `null` where no lab started this process. Throws `lab-environment`. */
export function labEnvironment(env: Readonly<Record<string, string | undefined>>): LabEnvironment | null {
  const text = env[LAB_VARIABLE];
  if (text === undefined) return null;
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new IcepathError(
      'lab-environment',
      `${LAB_VARIABLE} is set, but not by icepath lab`,
      `Unset it: unset ${LAB_VARIABLE}`,
      { cause },
    );
  }
}

/** Ties the life of this process to its lab's, also where that is killed: nobody would end a server without it. */
export function stayWithLab(env: Readonly<Record<string, string | undefined>>): void {
  const lab = labEnvironment(env);
  if (lab === null) return;
  dieWithParent();
  // It may have been killed before.
  if (process.ppid !== lab.parent) process.kill(process.pid, 'SIGKILL');
}
